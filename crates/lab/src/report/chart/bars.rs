//! Horizontal bars, one per variant in the order of the file, with intervals and a dot for each seed.

use super::Estimate;
use super::scale::{Scale, range, ticks};
use super::svg::{Anchor, CHARACTER, Svg, WIDTH, short};

const ROW: f64 = 30.0;
const TOP: f64 = 8.0;
/// Room for a value behind the longest bar.
const VALUE: f64 = 56.0;

/// Draws a bar for each variant; one without a figure says so.
pub fn draw(id: &str, heading: &str, share: bool, bars: &[(String, Option<Estimate>)]) -> String {
    let names: Vec<String> = bars.iter().map(|(name, _)| short(name, 22)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = longest as f64 * CHARACTER + 18.0;
    let bottom = TOP + ROW * bars.len() as f64;
    let all = bars.iter().filter_map(|(_, estimate)| estimate.as_ref());
    let all = all.flat_map(|e| [e.value, e.interval.map_or(e.value, |i| i.1), e.interval.map_or(e.value, |i| i.0)]);
    let (low, high) = range(all.chain([0.0]));
    // Bars start at 0 and end in their range.
    let limits = if share { (0.0, high.min(1.0)) } else { (if low > -high * 0.2 { 0.0 } else { low }, high) };
    let x = Scale::linear(limits, (left, WIDTH - VALUE));
    let mut svg = Svg::new(id, (WIDTH, bottom + 52.0), heading, &describe(bars));
    for (value, text) in ticks(limits, 5) {
        svg.line((x.at(value), TOP), (x.at(value), bottom), "mesh");
        svg.text((x.at(value), bottom + 18.0), Anchor::Middle, "tick", &text);
    }
    for (i, ((full, estimate), name)) in bars.iter().zip(names).enumerate() {
        let middle = TOP + ROW * (i as f64 + 0.5);
        svg.text((left - 10.0, middle + 4.5), Anchor::End, "label", &name);
        match estimate {
            None => svg.text((left + 6.0, middle + 4.5), Anchor::Start, "tick", "no figure"),
            Some(estimate) => bar(&mut svg, full, estimate, middle, x),
        }
    }
    svg.line((x.at(0.0), TOP), (x.at(0.0), bottom), "axis");
    svg.text(((left + WIDTH - VALUE) / 2.0, bottom + 42.0), Anchor::Middle, "label", heading);
    svg.finish()
}

fn bar(svg: &mut Svg, name: &str, estimate: &Estimate, middle: f64, x: Scale) {
    let (zero, value) = (x.at(0.0), x.at(estimate.value));
    let (from, to) = (zero.min(value), zero.max(value));
    svg.rectangle((from, middle - 9.0), (to - from, 18.0), "bar", 0.55, &tip(name, estimate));
    let mut end = to;
    if let Some((low, high)) = estimate.interval {
        let (low, high) = (x.at(low), x.at(high));
        svg.line((low, middle), (high, middle), "whisker ink");
        for place in [low, high] {
            svg.line((place, middle - 5.0), (place, middle + 5.0), "whisker ink");
        }
        end = end.max(high);
    }
    for &seed in estimate.seeds.iter().filter(|_| estimate.seeds.len() > 1) {
        svg.dot((x.at(seed), middle), 2.6, "seed", &format!("{name}, one seed: {seed:.3}"));
    }
    svg.text((end + 6.0, middle + 4.5), Anchor::Start, "value", &format!("{:.3}", estimate.value));
}

fn tip(name: &str, estimate: &Estimate) -> String {
    let interval = estimate.interval.map_or(String::new(), |(low, high)| format!(" ({low:.3} to {high:.3})"));
    format!("{name}: {:.3}{interval}", estimate.value)
}

fn describe(bars: &[(String, Option<Estimate>)]) -> String {
    let one = |(name, estimate): &(String, Option<Estimate>)| match estimate {
        Some(estimate) => tip(name, estimate),
        None => format!("{name}: no figure"),
    };
    bars.iter().map(one).collect::<Vec<_>>().join("; ")
}
