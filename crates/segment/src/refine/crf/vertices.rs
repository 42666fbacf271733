//! Numbers for lattice points, in the order in which they are first touched.
//!
//! Open addressing with linear probing, at most half full; keys lie apart from the slots, so that numbering them anew
//! while growing and walking them in order are both one pass. First-touch order keeps pixels that are near each other
//! in the image near each other in memory, and makes the numbering independent of hash and table size.

use super::geometry::Key;

/// No such point; numbers start at 1, so that row 0 of a table of values can stay zero and stand for missing points.
pub const MISSING: u32 = 0;

/// A set of lattice points, numbered from 1.
#[derive(Debug, Clone)]
pub struct Vertices {
    slots: Vec<u32>, // 0 is free, else the number of a key
    keys: Vec<Key>,  // of number 1, 2, …
    shift: u32,
}

impl Vertices {
    /// Room for about `expected` points before growing.
    pub fn with_capacity(expected: usize) -> Self {
        let slots = (2 * expected).next_power_of_two().max(16);
        Self { slots: vec![MISSING; slots], keys: Vec::with_capacity(expected), shift: 64 - slots.trailing_zeros() }
    }

    /// The points in the order of their numbers; the first one has number 1.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The number of a point, which is numbered if it is new.
    #[inline]
    pub fn number(&mut self, key: Key) -> u32 {
        let slot = self.slot(key);
        if self.slots[slot] != MISSING {
            return self.slots[slot];
        }
        self.keys.push(key);
        let number = self.keys.len() as u32;
        self.slots[slot] = number;
        if 2 * self.keys.len() > self.slots.len() {
            self.grow();
        }
        number
    }

    /// The number of a point, or [`MISSING`].
    #[inline]
    pub fn find(&self, key: Key) -> u32 {
        self.slots[self.slot(key)]
    }

    /// The slot that holds the key, or the free one where it belongs.
    #[inline]
    fn slot(&self, key: Key) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (hash(key) >> self.shift) as usize;
        loop {
            let number = self.slots[slot];
            if number == MISSING || self.keys[number as usize - 1] == key {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let slots = 2 * self.slots.len();
        (self.slots, self.shift) = (vec![MISSING; slots], self.shift - 1);
        for i in 0..self.keys.len() {
            let slot = self.slot(self.keys[i]);
            self.slots[slot] = i as u32 + 1;
        }
    }
}

/// Both halves multiplied and folded; the high bits pick the slot.
#[inline(always)]
fn hash(key: Key) -> u64 {
    let low = key as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let high = (key >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03;
    let product = u128::from(low) * u128::from(high);
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_first_touch_and_survive_growth() {
        let mut vertices = Vertices::with_capacity(1);
        let key = |i: u128| (i % 1000) << 64 | (i % 7) << 25 | (i / 3);
        let first: Vec<u32> = (0..5000).map(|i| vertices.number(key(i))).collect();
        assert_eq!(vertices.keys().len(), 5000);
        assert_eq!(first, (1..=5000).collect::<Vec<u32>>());
        assert!((0..5000).all(|i| vertices.number(key(i)) == first[i as usize]));
        assert_eq!(vertices.find(key(42)), 43);
        assert_eq!(vertices.find(u128::MAX), MISSING);
    }
}
