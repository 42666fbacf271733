//! Expectations that end in `@95%`: the whole 95% interval of `left − right` must lie on the side that they claim.
//!
//! With one seed the interval is over images, the models as they are: it says nothing of other seeds. With several it is over seeds
//! and images ([`hierarchical`]). Figures of the same images are compared on the same draws, so that what makes an image hard for all
//! variants drops out.

use super::{Expectation, Figure};
use crate::failure::Outcome;
use crate::statistics::Interval;
use crate::statistics::bootstrap::{Replicates, hierarchical, percentile};

/// Where the figures of an experiment's runs come from, round by round of the bootstrap over images.
pub trait Drawn {
    /// Seeds of the experiment, rising.
    fn seeds(&self) -> Vec<u64>;

    /// A figure of the run of this seed in every round; none if there is no such run or it has no such figure. Round `r` draws the
    /// same images of a data set in every run.
    ///
    /// # Errors
    /// If what the run left behind cannot be read.
    fn replicates(&self, figure: &Figure, seed: u64) -> Outcome<Option<Replicates>>;

    /// Whether the runs of these seeds that the figure is of were all judged on the same images.
    ///
    /// # Errors
    /// If what a run left behind cannot be read.
    fn shared(&self, figure: &Figure, seeds: &[u64]) -> Outcome<bool>;
}

/// The answer to an expectation with `@95%`.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the interval lies on the side that is claimed.
    pub holds: bool,
    /// Of left − right.
    pub interval: Interval,
    /// Seeds that have all figures.
    pub seeds: usize,
}

impl Expectation {
    /// Whether it ends in `@95%`.
    pub fn is_sure(&self) -> bool {
        self.sure
    }

    /// Whether a recorded answer to one that ends in `@95%` is of its form (`… (left − right: LOW to HIGH, …)`) and follows from its own
    /// interval. Ends that are written as 0 may lie on either side.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn fits(&self, holds: bool, text: &str) -> Result<(), String> {
        let form = || format!("expected an answer `… (left − right: LOW to HIGH, …)`, found `{text}`");
        let interval = text.strip_prefix(&self.line).and_then(|rest| rest.strip_prefix(" (left − right: "));
        let interval = interval.and_then(|rest| rest.split_once(", ")?.0.split_once(" to ")).ok_or_else(form)?;
        let number = |end: &str| end.parse::<f64>().ok().filter(|end| end.is_finite()).ok_or_else(form);
        let (low, high) = (number(interval.0)?, number(interval.1)?);
        if low > high {
            return Err(form());
        }
        match low == 0.0 || high == 0.0 || self.how.is_beside((low, high)) == holds {
            true => Ok(()),
            false => Err(format!("recorded as {holds}, but the interval is {low} to {high}")),
        }
    }

    /// Checks one that ends in `@95%`; none if no seed has all of its figures.
    ///
    /// # Errors
    /// If what a run left behind cannot be read.
    pub fn holds_surely(&self, drawn: &dyn Drawn) -> Outcome<Option<Verdict>> {
        let (mut seeds, mut differences) = (vec![], vec![]);
        for seed in drawn.seeds() {
            if let Some(difference) = self.difference(drawn, seed)? {
                seeds.push(seed);
                differences.push(difference);
            }
        }
        let mut shared = true;
        for figure in self.figures() {
            shared &= seeds.len() < 2 || drawn.shared(figure, &seeds)?;
        }
        let replicates = match differences.len() {
            1 => differences.remove(0),
            _ => hierarchical(&differences, shared),
        };
        let verdict =
            |interval: Interval| Verdict { holds: self.how.is_beside(interval), interval, seeds: seeds.len() };
        Ok(percentile(&replicates).map(verdict))
    }

    /// Left − right of a seed in every round; none if a figure is not there.
    fn difference(&self, drawn: &dyn Drawn, seed: u64) -> Outcome<Option<Replicates>> {
        let mut total: Option<Replicates> = None;
        let mut constant = 0.0;
        let signed = self.left.iter().map(|term| (1.0, term)).chain(self.right.iter().map(|term| (-1.0, term)));
        for (sign, term) in signed {
            let factor = sign * term.factor;
            let Some(figure) = &term.figure else {
                constant += factor;
                continue;
            };
            let Some(rounds) = drawn.replicates(figure, seed)? else { return Ok(None) };
            let sum = total.get_or_insert_with(|| vec![Some(0.0); rounds.len()]);
            sum.iter_mut().zip(rounds).for_each(|(sum, value)| *sum = sum.zip(value).map(|(s, v)| s + factor * v));
        }
        Ok(total.map(|sum| sum.into_iter().map(|value| Some(value? + constant)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::{ROUNDS, rounds};
    use simseg_tensor::random;

    /// Seeds × images; `a` is `b` and a difference that varies little, all seeds have images of their own.
    struct Made {
        seeds: Vec<u64>,
        lead: f64,
    }

    impl Drawn for Made {
        fn seeds(&self) -> Vec<u64> {
            self.seeds.clone()
        }

        fn replicates(&self, figure: &Figure, seed: u64) -> Outcome<Option<Replicates>> {
            let values = |purpose: &str, scale: f64| -> Vec<f64> {
                let mut rng = random::stream(seed, purpose, 0);
                (0..60).map(|_| scale * random::normal(&mut rng)).collect()
            };
            let mut images = values("hard or easy", 1.0);
            if figure.variant == "a" {
                images.iter_mut().zip(values("own", 0.1)).for_each(|(image, own)| *image += self.lead + own);
            }
            let mean = |times: &[u32]| {
                Outcome::Ok(Some(images.iter().zip(times).map(|(x, &times)| x * f64::from(times)).sum::<f64>() / 60.0))
            };
            let missing = figure.name == "y";
            Ok(if missing { None } else { Some(rounds(60, ROUNDS, mean)?) })
        }

        fn shared(&self, _: &Figure, _: &[u64]) -> Outcome<bool> {
            Ok(false)
        }
    }

    fn verdict(line: &str, seeds: &[u64], lead: f64) -> Option<Verdict> {
        let known = ["a", "b"].map(|name| (name.to_owned(), vec!["x".to_owned(), "y".to_owned()]));
        let expectation = Expectation::parse(line, &known).unwrap();
        assert!(expectation.is_sure() && expectation.is_over_seeds());
        expectation.holds_surely(&Made { seeds: seeds.to_vec(), lead }).unwrap()
    }

    #[test]
    fn a_clear_lead_on_the_same_images_holds_and_none_does_not() {
        for seeds in [&[0][..], &[0, 1, 2, 3]] {
            let clear = verdict("a.x - b.x > 0 @95%", seeds, 0.2).unwrap();
            assert!(clear.holds && clear.interval.0 > 0.1 && clear.interval.1 < 0.3, "{clear:?}");
            assert_eq!(clear.seeds, seeds.len());
            assert!(verdict("a.x > b.x @95%", seeds, 0.2).unwrap().holds);
            assert!(verdict("b.x <= a.x @ 95%", seeds, 0.2).unwrap().holds);
            assert!(!verdict("a.x - b.x > 0.2 @95%", seeds, 0.2).unwrap().holds, "the lead is not above itself");
            assert!(!verdict("a.x < b.x @95%", seeds, 0.2).unwrap().holds);
            let none = verdict("a.x > b.x @95%", seeds, 0.0).unwrap();
            assert!(!none.holds && none.interval.0 < 0.0, "{none:?}");
        }
    }

    #[test]
    fn factors_and_numbers_count_and_a_figure_that_is_not_there_has_no_answer() {
        let own = verdict("2 * a.x - 2 * b.x >= 0.2 @95%", &[0], 0.2).unwrap();
        assert!(own.holds && (0.1..0.3).contains(&own.interval.0), "{own:?}");
        assert_eq!(verdict("a.y > b.x @95%", &[0], 0.2), None);
        assert_eq!(verdict("a.x > b.x @95%", &[], 0.2), None);
    }
}
