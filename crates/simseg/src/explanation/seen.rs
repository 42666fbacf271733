//! The tap that an explanation is made of.

use simseg_segment::segmenter::steps::WANTED;
use simseg_tensor::{Result, Tap, Tensor};
use std::collections::BTreeMap;

/// What came by, by name.
#[derive(Default)]
pub(super) struct Seen {
    numbers: BTreeMap<String, Vec<f32>>,
    masks: BTreeMap<String, Vec<u8>>,
    labels: BTreeMap<String, Vec<u16>>,
}

impl<T: Tensor> Tap<T> for Seen {
    fn wants(&self, name: &str) -> bool {
        name == WANTED
    }
    fn see_host(&mut self, name: &str, _: &[usize], values: &[f32]) -> Result<()> {
        self.numbers.insert(name.to_owned(), values.to_vec());
        Ok(())
    }
    fn see_mask(&mut self, name: &str, _: &[usize], values: &[u8]) -> Result<()> {
        self.masks.insert(name.to_owned(), values.to_vec());
        Ok(())
    }
    fn see_labels(&mut self, name: &str, _: &[usize], values: &[u16]) -> Result<()> {
        self.labels.insert(name.to_owned(), values.to_vec());
        Ok(())
    }
}

impl Seen {
    /// Numbers of a name; empty if nothing was shown under it.
    pub(super) fn numbers(&mut self, name: &str) -> Vec<f32> {
        self.numbers.remove(name).unwrap_or_default()
    }
    /// A mask of a name, likewise.
    pub(super) fn mask(&mut self, name: &str) -> Vec<u8> {
        self.masks.remove(name).unwrap_or_default()
    }
    /// Labels of a name, likewise.
    pub(super) fn labels(&mut self, name: &str) -> Vec<u16> {
        self.labels.remove(name).unwrap_or_default()
    }
}
