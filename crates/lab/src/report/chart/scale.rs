//! From values to places, and the round numbers between.

/// A range of values on a range of the picture.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    values: (f64, f64),
    places: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    /// Equal differences are equal distances.
    pub fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, logarithmic: false }
    }

    /// For values that someone chose: equal ratios are equal distances if they are positive and far apart (32 times or more).
    pub fn chosen(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, logarithmic: values.0 > 0.0 && values.1 / values.0 >= 32.0 }
    }

    /// Whether equal ratios are equal distances.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// The place of a value; one place for all values of an empty range.
    pub fn at(&self, value: f64) -> f64 {
        let of = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (low, high) = (of(self.values.0), of(self.values.1));
        let share = if high > low { (of(value) - low) / (high - low) } else { 0.5 };
        self.places.0 + share.clamp(0.0, 1.0) * (self.places.1 - self.places.0)
    }
}

/// Round numbers (1, 2 or 5 times a power of ten apart) within a range, about `count` of them, with their text.
pub fn ticks((low, high): (f64, f64), count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![(low, number(low))];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough * 0.999).unwrap_or(rough);
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    // One tenth of a step off zero would print as −0.
    (first..=last).map(|i| i as f64 * step).map(|value| (value, format!("{:.digits$}", value + 0.0))).collect()
}

/// The lowest and highest of some values with a margin of 6%; finite even without any.
pub fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let all = values.filter(|value| value.is_finite());
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let margin = if high > low { (high - low) * 0.06 } else { high.abs().max(0.01) * 0.5 };
    (low - margin, high + margin)
}

/// A number as short as it can be.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-4..1e7).contains(&size) => format!("{value:e}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let text = |range, count| ticks(range, count).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ");
        assert_eq!(text((0.0, 1.0), 5), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(text((0.213, 0.334), 5), "0.25 0.30");
        assert_eq!(text((0.0, 170.0), 4), "0 50 100 150");
        assert_eq!(text((-1.0, 1.0), 4), "-1.0 -0.5 0.0 0.5 1.0");
        assert_eq!(text((2.0, 2.0), 4), "2");
    }

    #[test]
    fn far_apart_values_lie_on_a_logarithmic_scale() {
        let scale = Scale::chosen((1.0, 100.0), (0.0, 10.0));
        assert!((scale.at(10.0) - 5.0).abs() < 1e-9 && scale.is_logarithmic());
        assert!((Scale::chosen((0.0, 100.0), (0.0, 10.0)).at(10.0) - 1.0).abs() < 1e-9);
        assert_eq!(range(std::iter::empty()), (0.0, 1.0));
    }
}
