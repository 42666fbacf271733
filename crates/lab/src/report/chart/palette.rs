//! Colours and dashes of lines and bars, for a light and a dark page.
//!
//! After Okabe & Ito (2008), which people with any common kind of colour vision tell apart; made darker on a light page and lighter on
//! a dark one until each stands 3:1 against it (WCAG 2.2, 1.4.11). Eight colours of such contrast cannot all differ in lightness, so
//! neighbours differ by their dashes too, and those that share a dash differ in lightness: grey print keeps all eight apart.

/// On [`PAPER`]'s first.
pub const LIGHT: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#c06a9a", "#c48700", "#3b3b3b", "#8c2d5c", "#5b5400"];

/// On [`PAPER`]'s second.
pub const DARK: [&str; 8] = ["#56b4e9", "#e8762c", "#1db788", "#e3a0c8", "#a87400", "#e8e8e8", "#b0487f", "#8f8500"];

/// What charts stand on, light and dark.
pub const PAPER: [&str; 2] = ["#ffffff", "#14171c"];

/// Dashes: `stroke-dasharray`.
pub const DASHES: [&str; 4] = ["none", "8 3", "2 3", "9 3 2 3"];

/// The classes of the i-th line: 32 pairs of a colour and a dash, then again from the start.
pub fn classes(i: usize) -> String {
    format!("s{} d{}", i % LIGHT.len(), (i + i / LIGHT.len()) % DASHES.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// WCAG's relative luminance of `#rrggbb`.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn every_colour_stands_out_and_those_of_one_dash_differ_in_grey() {
        for (colours, paper) in [(LIGHT, PAPER[0]), (DARK, PAPER[1])] {
            for colour in colours {
                assert!(contrast(colour, paper) >= 3.0, "{colour} on {paper}: {:.2}", contrast(colour, paper));
            }
            for i in 0..4 {
                let (a, b) = (colours[i], colours[i + 4]);
                assert!(contrast(a, b) >= 1.5, "{a} {b}: {:.2}", contrast(a, b));
            }
        }
        assert_eq!((0..32).map(classes).collect::<BTreeSet<_>>().len(), 32);
    }
}
