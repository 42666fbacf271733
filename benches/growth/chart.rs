//! Small multiples on logarithmic axes: for each axis its time, and below it its memory; points, what was fitted, and the exponents.

use crate::axes::{Grown, MIB, Quantity, Said};
use simseg_lab::report::chart::palette::{DARK, LIGHT, PAPER};
use simseg_lab::report::chart::scale::Scale;
use simseg_lab::report::chart::svg::{Anchor, Svg};

const COLUMNS: usize = 3;
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 258.0;
const HEAD: f64 = 84.0;
/// About the width of a character of the small text.
const CHARACTER: f64 = 5.6;
/// An axis spans this factor at least, so that what is constant looks constant.
const SPAN: f64 = 6.0;

/// The picture; `about` says where the numbers come from.
pub fn draw(about: &[String], grown: &[Grown]) -> String {
    let rows = 2 * grown.len().div_ceil(COLUMNS);
    let size = (WIDTH * grown.len().min(COLUMNS) as f64, HEAD + HEIGHT * rows as f64);
    let mut svg = Svg::new("growth", size, "How time and memory grow", &described(grown));
    svg.rectangle((0.0, 0.0), size, "paper", 1.0, "");
    let title = "How time and peak memory of the cpu backend grow";
    svg.text((16.0, 26.0), Anchor::Start, "title", title);
    for (i, line) in about.iter().enumerate() {
        svg.text((16.0, 44.0 + 15.0 * i as f64), Anchor::Start, "soft", line);
    }
    for (i, grown) in grown.iter().enumerate() {
        for (below, quantity) in Quantity::BOTH.into_iter().enumerate() {
            let row = 2 * (i / COLUMNS) + below;
            let corner = (WIDTH * (i % COLUMNS) as f64, HEAD + HEIGHT * row as f64);
            panel(&mut svg, corner, grown, quantity);
        }
    }
    svg.finish_alone(&style())
}

/// One quantity of one axis.
fn panel(svg: &mut Svg, (left, top): (f64, f64), grown: &Grown, quantity: Quantity) {
    let said = grown.said(quantity);
    let (x0, x1, y0, y1) = (left + 62.0, left + WIDTH - 20.0, top + HEIGHT - 82.0, top + 30.0);
    let points: Vec<(f64, f64)> = grown.points.iter().map(|(x, m)| (*x as f64, quantity.of(m))).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let curve: Vec<(f64, f64)> = curve(&said, first.0, last.0);
    let (low, high) = range(points.iter().chain(&curve).map(|point| point.1));
    let x = Scale::linear((first.0.log10(), last.0.log10()), (x0 + 8.0, x1 - 8.0));
    let y = Scale::linear((low.log10(), high.log10()), (y0, y1));
    let place = |(a, b): &(f64, f64)| (x.at(a.log10()), y.at(b.log10()));
    let what = if quantity == Quantity::Time { "time" } else { "memory" };
    let heading = format!("{}: {what}", grown.axis.heading());
    svg.text((left + 20.0, top + 16.0), Anchor::Start, "name", &heading);
    for value in decades(low, high, quantity) {
        let at = y.at(value.log10());
        svg.line((x0, at), (x1, at), "mesh");
        svg.text((x0 - 6.0, at + 4.0), Anchor::End, "soft", &amount(value, quantity));
    }
    svg.line((x0, y0), (x1, y0), "axis");
    let mut free = f64::NEG_INFINITY;
    for (value, _) in &points {
        let (at, text) = (x.at(value.log10()), format!("{value}"));
        let half = text.len() as f64 * CHARACTER / 2.0;
        svg.line((at, y0), (at, y0 + 4.0), "axis");
        if at - half > free {
            svg.text((at, y0 + 16.0), Anchor::Middle, "soft", &text);
            free = at + half + 4.0;
        }
    }
    svg.path(&curve.iter().map(place).collect::<Vec<_>>(), false, "fit");
    for point in &points {
        svg.dot(place(point), 3.5, "dot", &format!("{}: {}", point.0, amount(point.1, quantity)));
    }
    svg.text((left + 20.0, y0 + 34.0), Anchor::Start, "found", &format!("{}, {}", said.measured, said.expected));
    for (i, line) in wrapped(said.why, ((WIDTH - 36.0) / CHARACTER) as usize).iter().enumerate() {
        svg.text((left + 20.0, y0 + 49.0 + 14.0 * i as f64), Anchor::Start, "soft", line);
    }
}

/// The fitted values between two sizes.
fn curve(said: &Said, from: f64, to: f64) -> Vec<(f64, f64)> {
    let Some(power) = said.power else { return vec![] };
    const STEPS: i32 = 24;
    let at = |i: i32| from * (to / from).powf(f64::from(i) / f64::from(STEPS));
    (0..=STEPS).map(at).map(|x| (x, said.fixed + power.at(x))).collect()
}

/// The lowest and highest value with a margin, [`SPAN`] apart at least.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let wider = (SPAN * low / high).max(1.3).sqrt();
    (low / wider, high * wider)
}

/// 1, 2 and 5 times powers of ten within a range of seconds, or of MiB; powers alone where that would be many.
fn decades(low: f64, high: f64, quantity: Quantity) -> Vec<f64> {
    let unit = if quantity == Quantity::Memory { MIB } else { 1.0 };
    let steps: &[f64] = if high / low > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = (low / unit).log10().floor() as i32..=(high / unit).log10().ceil() as i32;
    let all = powers.flat_map(|power| steps.iter().map(move |step| unit * step * 10f64.powi(power)));
    all.filter(|value| (low..=high).contains(value)).collect()
}

/// As a person says it.
fn amount(value: f64, quantity: Quantity) -> String {
    match quantity {
        Quantity::Memory => format!("{:.0} MiB", value / MIB),
        Quantity::Time if value < 0.995 => format!("{} ms", number(1e3 * value)),
        Quantity::Time => format!("{} s", number(value)),
    }
}

/// Two digits, or all before the point.
fn number(value: f64) -> String {
    let digits = (1.0 - value.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Lines of at most so many characters.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => *line = format!("{line} {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What is read aloud.
fn described(grown: &[Grown]) -> String {
    let one = |grown: &Grown| {
        Quantity::BOTH.map(|quantity| {
            let said = grown.said(quantity);
            format!("{}, {}: {}, {}.", grown.axis.heading(), quantity.name(), said.measured, said.expected)
        })
    };
    grown.iter().flat_map(one).collect::<Vec<_>>().join(" ")
}

/// Light, or dark where the reader's screen is.
fn style() -> String {
    let colours = |paper: &str, text: &str, soft: &str, mesh: &str, [line, dot]: [&str; 2]| {
        format!(
            ".paper{{fill:{paper}}}text{{fill:{text}}}.soft{{fill:{soft}}}.mesh{{stroke:{mesh}}}.axis{{stroke:{soft}}}\
             .fit{{stroke:{line}}}.dot{{fill:{dot}}}"
        )
    };
    let light = colours(PAPER[0], "#1f2328", "#59636e", "#e4e7eb", [LIGHT[0], LIGHT[1]]);
    let dark = colours(PAPER[1], "#e6e8eb", "#9aa4af", "#2b3138", [DARK[0], DARK[1]]);
    format!(
        "text{{font:11.5px system-ui,sans-serif}}.title{{font-size:17px;font-weight:600}}.name{{font-size:13px;font-weight:600}}\
         .found{{font-size:12px}}.fit{{fill:none;stroke-width:1.8}}{light}@media(prefers-color-scheme:dark){{{dark}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_say_their_unit() {
        assert_eq!(decades(0.04, 0.6, Quantity::Time), [0.05, 0.1, 0.2, 0.5]);
        assert_eq!(decades(0.9 * MIB, 11.0 * MIB, Quantity::Memory), [1.0, 2.0, 5.0, 10.0].map(|m| m * MIB));
        let said =
            [(0.05, "50 ms"), (0.123, "123 ms"), (0.0021, "2.1 ms"), (1.0, "1 s"), (2.34, "2.3 s"), (120.0, "120 s")];
        for (seconds, text) in said {
            assert_eq!(amount(seconds, Quantity::Time), text);
        }
        assert_eq!(amount(1536.0 * MIB, Quantity::Memory), "1536 MiB");
    }

    #[test]
    fn what_is_constant_spans_a_factor_all_the_same() {
        let (low, high) = range([100.0, 101.0].into_iter());
        assert!((high / low - SPAN).abs() < 1e-9 && low < 100.0 && high > 101.0);
    }
}
