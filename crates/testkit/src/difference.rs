//! How far apart two results are: by how much, where, and with which values.

use std::fmt;

/// The largest difference between two results.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its size.
    pub abs: f64,
    /// Relative to the largest wanted value, or to the floor if that is larger.
    pub rel: f64,
    /// The largest difference in units of the last place of f32, which may lie elsewhere; among values of at least a
    /// thousandth of the largest, because what is left of a cancellation has no last place to speak of.
    pub ulp: f64,
    /// Where it is, one position per axis.
    pub at: Vec<usize>,
    /// The value there …
    pub got: f64,
    /// … and the one wanted.
    pub want: f64,
}

impl Difference {
    /// Compares row-major values of a shape. `floor` is the smallest value that differences are relative to.
    ///
    /// A value that is no number, or a length that differs, is infinitely far away.
    pub fn between(got: &[f64], want: &[f64], shape: &[usize], floor: f64) -> Self {
        let mut worst = Self { abs: 0.0, rel: 0.0, ulp: 0.0, at: vec![0; shape.len()], got: 0.0, want: 0.0 };
        if got.len() != want.len() {
            let (got, want) = (got.len() as f64, want.len() as f64);
            return Self { abs: f64::INFINITY, rel: f64::INFINITY, ulp: f64::INFINITY, got, want, ..worst };
        }
        let (mut position, mut scale) = (0, floor);
        for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
            let apart = if a == b { 0.0 } else { (a - b).abs() };
            let apart = if apart.is_finite() { apart } else { f64::INFINITY };
            if apart > worst.abs || i == 0 {
                (worst.abs, worst.got, worst.want, position) = (apart, a, b, i);
            }
            scale = scale.max(b.abs());
        }
        for (&a, &b) in got.iter().zip(want).filter(|(_, b)| b.abs() >= scale / 1000.0) {
            let last_place = f64::from((b as f32).abs().next_up()) - f64::from((b as f32).abs());
            worst.ulp = worst.ulp.max((a - b).abs() / last_place);
        }
        worst.rel = if worst.abs.is_finite() { worst.abs / scale } else { f64::INFINITY };
        for (at, &len) in worst.at.iter_mut().zip(shape).rev() {
            (*at, position) = (position % len.max(1), position / len.max(1));
        }
        worst
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is {:?}, expected {:?}: off by {:.1e}", self.at, self.got, self.want, self.rel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_found_with_its_position() {
        let want = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let mut got = want;
        (got[1], got[5]) = (1.25, 4.5);
        let found = Difference::between(&got, &want, &[2, 3], 1.0);
        assert_eq!((found.abs, found.rel, found.at, found.got, found.want), (0.5, 0.1, vec![1, 2], 4.5, 5.0));
        assert_eq!(Difference::between(&want, &want, &[6], 1.0).abs, 0.0);
    }

    #[test]
    fn what_is_no_number_and_what_is_missing_is_infinitely_far_away() {
        assert_eq!(Difference::between(&[f64::NAN], &[1.0], &[1], 1.0).rel, f64::INFINITY);
        assert_eq!(Difference::between(&[1.0], &[f64::NAN], &[1], 1.0).rel, f64::INFINITY);
        assert_eq!(Difference::between(&[f64::INFINITY], &[1.0], &[1], 1.0).rel, f64::INFINITY);
        assert_eq!(Difference::between(&[1.0], &[1.0, 2.0], &[2], 1.0).rel, f64::INFINITY);
    }
}
