//! Weights in fewer bits, in files and in memory: which they are, and how one reads them ([`simseg_tensor::narrow`] has the arithmetic).
//!
//! In a file, an int8 tensor `NAME` `[o, …]` has its scales beside it, the f32 tensor `NAME.scale` `[o]`. Matrices of layers and tables
//! of words are kept in fewer bits ([`is_narrowed`]); biases, norms, positions and an aligner's own parameters stay f32: they are
//! less than a hundredth of the values of ViT-B/16 and BERT-base, and every token meets each of them.

use super::InPlace;
use safetensors::Dtype;
use simseg_tensor::{Narrow, Shared, SharedSlice, WeightType};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the scales of an int8 tensor are called: its name and this.
pub const SCALE: &str = ".scale";

/// Whether a parameter is kept in fewer bits where that is asked for: names that end in `weight`, of two axes or more, but for
/// positions and what the aligner owns.
pub fn is_narrowed(name: &str, shape: &[usize]) -> bool {
    shape.len() >= 2 && name.ends_with("weight") && !name.contains("position") && !name.starts_with("aligner.")
}

/// A parameter in a type of fewer bits where [`is_narrowed`] says so, else as it is. It is rounded when it is read.
pub fn rounded(values: SharedSlice, name: &str, shape: &[usize], kind: WeightType) -> SharedSlice {
    if is_narrowed(name, shape) { Arc::new(Rounded::new(values, kind, shape, false)) } else { values }
}

/// The same, whose products may round their other operand as well ([`Narrow::rounding_inputs`]).
pub fn rounded_with_inputs(values: SharedSlice, name: &str, shape: &[usize], kind: WeightType) -> SharedSlice {
    if is_narrowed(name, shape) { Arc::new(Rounded::new(values, kind, shape, true)) } else { values }
}

/// The type in fewer bits that a file's is.
pub(super) fn kind(dtype: Dtype) -> Option<WeightType> {
    match dtype {
        Dtype::F16 => Some(WeightType::F16),
        Dtype::BF16 => Some(WeightType::Bf16),
        Dtype::I8 => Some(WeightType::Int8),
        _ => None,
    }
}

/// How a file says it.
#[cfg(feature = "fs")]
pub(super) fn dtype(kind: WeightType) -> Dtype {
    match kind {
        WeightType::F16 => Dtype::F16,
        WeightType::Bf16 => Dtype::BF16,
        WeightType::Int8 => Dtype::I8,
    }
}

/// Values of a row of a tensor, all but its first axis.
pub(super) fn row_len(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// A tensor that its file has in fewer bits.
pub(super) struct Stored {
    narrow: Narrow,
    place: Arc<InPlace>,
    /// For whoever needs all of it as f32.
    wide: OnceLock<Vec<f32>>,
}

impl Stored {
    /// Rows of `row` values at a place; nothing if they do not fit it.
    pub(super) fn new(kind: WeightType, place: InPlace, scales: Vec<f32>, row: usize) -> Option<Self> {
        let place = Arc::new(place);
        let narrow = Narrow::new(kind, place.clone(), scales.into(), row)?;
        Some(Self { narrow, place, wide: OnceLock::new() })
    }
}

impl AsRef<[f32]> for Stored {
    fn as_ref(&self) -> &[f32] {
        self.wide.get_or_init(|| self.narrow.widened())
    }
}

impl Shared for Stored {
    fn in_file(&self) -> bool {
        self.place.is_mapped()
    }
    fn release(&self) {
        self.place.give_back();
    }
    fn count(&self) -> usize {
        self.narrow.count()
    }
    fn narrow(&self) -> Option<Narrow> {
        Some(self.narrow.clone())
    }
}

/// A tensor that is kept in fewer bits than its file has it in. It is rounded when it is asked for, again if it was released.
struct Rounded {
    source: SharedSlice,
    kind: WeightType,
    row: usize,
    rounds_inputs: bool,
    rounded: Mutex<Option<Narrow>>,
    wide: OnceLock<Vec<f32>>,
}

impl Rounded {
    fn new(source: SharedSlice, kind: WeightType, shape: &[usize], rounds_inputs: bool) -> Self {
        Self { source, kind, row: row_len(shape), rounds_inputs, rounded: Mutex::new(None), wide: OnceLock::new() }
    }

    fn rounded(&self) -> Narrow {
        let mut kept = self.rounded.lock().unwrap_or_else(PoisonError::into_inner);
        let round = || {
            let narrow = match self.source.narrow() {
                Some(narrow) if narrow.kind() == self.kind => return narrow,
                Some(narrow) => Narrow::round(self.kind, &narrow.widened(), self.row),
                None => Narrow::round(self.kind, (*self.source).as_ref(), self.row),
            };
            self.source.release();
            narrow
        };
        kept.get_or_insert_with(round).clone()
    }
}

impl AsRef<[f32]> for Rounded {
    fn as_ref(&self) -> &[f32] {
        self.wide.get_or_init(|| self.rounded().widened())
    }
}

impl Shared for Rounded {
    fn in_file(&self) -> bool {
        self.source.in_file()
    }
    fn release(&self) {
        if self.source.in_file() {
            *self.rounded.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.source.release();
        }
    }
    fn count(&self) -> usize {
        self.source.count()
    }
    fn narrow(&self) -> Option<Narrow> {
        let rounded = self.rounded();
        Some(if self.rounds_inputs { rounded.rounding_inputs() } else { rounded })
    }
    fn narrow_bytes(&self) -> Option<usize> {
        let rows = self.count() / self.row.max(1);
        let scales = if self.kind == WeightType::Int8 { rows * size_of::<f32>() } else { 0 };
        Some(self.count() * self.kind.size() + scales)
    }
    /// Only this row: of a table of thirty thousand words a few hundred are looked up.
    fn read_narrow_row(&self, row: usize, out: &mut [f32]) -> bool {
        if out.len() != self.row {
            return false;
        }
        if !self.source.read_narrow_row(row, out) {
            out.copy_from_slice(&(*self.source).as_ref()[row * self.row..(row + 1) * self.row]);
        }
        Narrow::round(self.kind, out, self.row).read_row(0, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_words_are_narrowed_and_what_every_token_meets_is_not() {
        for (name, shape) in [
            ("image_encoder.model.model.blocks.0.attn.qkv.weight", &[288, 96][..]),
            ("image_encoder.model.model.patch_embed.proj.weight", &[96, 3, 8, 8]),
            ("text_encoder.model.model.embeddings.word_embeddings.weight", &[99, 96]),
            ("visual.transformer.resblocks.0.attn.in_proj_weight", &[288, 96]),
        ] {
            assert!(is_narrowed(name, shape), "{name}");
        }
        for (name, shape) in [
            ("image_encoder.model.model.blocks.0.attn.qkv.bias", &[288][..]),
            ("image_encoder.model.model.blocks.0.norm1.weight", &[96]),
            ("image_encoder.model.model.pos_embed", &[1, 65, 96]),
            ("text_encoder.model.model.embeddings.position_embeddings.weight", &[25, 96]),
            ("aligner.image.key.weight", &[96, 96]),
            ("visual.proj", &[96, 64]),
        ] {
            assert!(!is_narrowed(name, shape), "{name}");
        }
    }

    #[test]
    fn a_rounded_row_is_the_row_of_the_rounded_whole() {
        let values: Vec<f32> = (0..60).map(|i| (i * 29 % 61) as f32 / 7.0 - 4.0).collect();
        for kind in WeightType::ALL {
            let first = Narrow::round(WeightType::Int8, &values, 10);
            let bytes = super::super::Bytes::Memory(Arc::new(first.bytes().to_vec()));
            let place = InPlace { bytes, range: 0..60 };
            let stored = Stored::new(WeightType::Int8, place, first.scales().to_vec(), 10).unwrap();
            let sources: [SharedSlice; 2] = [Arc::new(values.clone()), Arc::new(stored)];
            for source in sources {
                let rounded = Rounded::new(source, kind, &[6, 2, 5], false);
                let mut row = [0.0; 10];
                assert!(!rounded.read_narrow_row(0, &mut row[..5]), "rows of another length");
                for i in 0..6 {
                    assert!(rounded.read_narrow_row(i, &mut row));
                    assert_eq!(row, rounded.as_ref()[10 * i..10 * i + 10], "{kind} row {i}");
                }
                assert_ne!(rounded.as_ref(), values, "{kind} rounds");
            }
        }
    }
}
