//! Which pairs each step sees: every epoch is a new permutation of all pairs, a pure function of (random seed, epoch).

use simseg_data::transform::Draw;
use simseg_tensor::random::{self, ChaCha8Rng};

/// The order of pairs; steps may be asked for in any order, and cost least one after the other.
pub struct Order {
    pairs: usize,
    batch: usize,
    seed: u64,
    /// The permutation of an epoch, settled as far as `settled`, and the generator that goes on with it.
    current: Option<(u64, ChaCha8Rng)>,
    permutation: Vec<usize>,
    settled: usize,
}

impl Order {
    /// The order of so many pairs in batches of at most as many.
    pub fn new(pairs: usize, batch: usize, seed: u64) -> Self {
        Self { pairs, batch, seed, current: None, permutation: vec![], settled: 0 }
    }

    /// Steps of an epoch: whole batches. The pairs that are left over are others in each epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.pairs / self.batch).max(1) as u64
    }

    /// The pairs of a step, counted from 0, and what their random changes depend on.
    pub fn at(&mut self, step: u64) -> (Draw, Vec<usize>) {
        let (epoch, within) = (step / self.steps_per_epoch(), (step % self.steps_per_epoch()) as usize);
        let (start, end) = (within * self.batch, ((within + 1) * self.batch).min(self.pairs));
        if self.current.as_ref().is_none_or(|(current, _)| *current != epoch || start < self.settled) {
            self.current = Some((epoch, random::stream(self.seed, "order", epoch)));
            self.permutation.clear();
            self.permutation.extend(0..self.pairs);
            self.settled = 0;
        }
        if let Some((_, rng)) = &mut self.current {
            // Fisher–Yates from the front, as far as this batch reaches.
            for i in self.settled..end {
                let j = i + (random::uniform(rng) * (self.pairs - i) as f64) as usize;
                self.permutation.swap(i, j);
            }
            self.settled = end;
        }
        (Draw { seed: self.seed, epoch }, self.permutation[start..end].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_one_after_the_other_see_what_each_alone_would_see() {
        let mut order = Order::new(23, 5, 7);
        let all: Vec<_> = (0..12).map(|step| order.at(step)).collect();
        for step in [11, 3, 3, 2, 9] {
            assert_eq!(order.at(step), all[step as usize]);
            assert_eq!(Order::new(23, 5, 7).at(step), all[step as usize]);
        }
        // Each epoch sees 20 pairs once, in an order of its own.
        for epoch in 0..3 {
            let mut seen: Vec<usize> =
                all[4 * epoch..4 * epoch + 4].iter().flat_map(|(_, picks)| picks.clone()).collect();
            assert!(all[4 * epoch..4 * epoch + 4].iter().all(|(draw, _)| draw.epoch == epoch as u64));
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 20);
        }
        assert_ne!(all[0].1, all[4].1);
        assert_ne!(all[0].1, Order::new(23, 5, 8).at(0).1);
    }
}
