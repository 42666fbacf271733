//! SVG by hand.
//!
//! A chart that follows the page's light or dark theme, is read aloud and is searched needs `currentColor`, classes of the page's
//! style sheet, `title`, `desc` and text that stays text. A drawing library has fixed colours and places words by its own idea of
//! a font, so these few elements are written directly.

use std::fmt::{Display, Write};

/// Width of a chart in its own units; the page scales it.
pub const WIDTH: f64 = 560.0;

/// About the width of a character in these units, at the size that a phone shows.
pub const CHARACTER: f64 = 8.2;

/// A picture that is being written.
pub struct Svg(String);

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// It starts there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

impl Svg {
    /// An empty picture. `id` is its own on the page; `title` and `description` are what is read aloud in its place.
    pub fn new(id: &str, (width, height): (f64, f64), title: &str, description: &str) -> Self {
        let (title, description) = (escape(title), escape(description));
        Self(format!(
            "<svg role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" aria-labelledby=\"{id}-title {id}-desc\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-desc\">{description}</desc>\n"
        ))
    }

    /// A line of text.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A line of text from bottom to top, centred.
    pub fn upright(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escape(text);
        self.add(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.add(format_args!("<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>"));
    }

    /// A line through points; `close` makes it an area.
    pub fn path(&mut self, points: &[(f64, f64)], close: bool, class: &str) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
        }
        if !points.is_empty() {
            self.add(format_args!("<path class=\"{class}\" d=\"{d}{}\"/>", if close { "Z" } else { "" }));
        }
    }

    /// A rectangle with an opacity and a tip for the mouse.
    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, opacity: f64, tip: &str) {
        let (width, tip) = (width.max(0.0), escape(tip));
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\" \
             fill-opacity=\"{opacity:.2}\"><title>{tip}</title></rect>"
        ));
    }

    /// A dot with a tip for the mouse.
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, tip: &str) {
        let tip = escape(tip);
        self.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"{class}\"><title>{tip}</title></circle>"
        ));
    }

    /// The whole picture.
    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }

    /// The same as a file of its own, with its style sheet: no page gives it one.
    pub fn finish_alone(self, style: &str) -> String {
        let whole = self.finish().replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
        whole.replacen("</desc>", &format!("</desc><style>{style}</style>"), 1)
    }

    fn add(&mut self, element: impl Display) {
        let _ = writeln!(self.0, "{element}");
    }
}

/// Text between tags or in an attribute; characters that neither HTML nor XML may hold are left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// A name cut to so many characters.
pub fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
