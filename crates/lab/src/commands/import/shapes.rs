//! Names and shapes of one checkpoint or two, and the architecture that follows from them.
//!
//! Widths, depths, patches, grids and vocabularies are shapes; the number of heads and CLIP's GELU are not ([`Described`]).

use super::described::{Described, Family};
use crate::failure::{Failure, Outcome};
use simseg_data::checkpoint::Checkpoint;
use simseg_model::bert::BertConfig;
use simseg_model::vit::VitConfig;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One checkpoint, or two that are read as one.
pub struct Files {
    list: Vec<Checkpoint>,
    /// Name → number of its file.
    names: BTreeMap<String, usize>,
    /// What is known beside shapes.
    pub described: Described,
}

impl Files {
    /// Puts checkpoints side by side.
    ///
    /// # Errors
    /// If two of them hold the same name.
    pub fn new(list: Vec<Checkpoint>, described: Described) -> Outcome<Self> {
        let mut names = BTreeMap::new();
        for (number, file) in list.iter().enumerate() {
            for name in file.names() {
                if names.insert(name.to_owned(), number).is_some() {
                    return Err(Failure::file(file.path(), format!("tensor `{name}` is in the other checkpoint too")));
                }
            }
        }
        Ok(Self { list, names, described })
    }

    /// The first file, which errors are about.
    pub fn path(&self) -> &Path {
        self.list[0].path()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.list[*self.names.get(name)?].shape(name)
    }

    /// Whether a tensor holds real numbers.
    pub fn is_real(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|&file| self.list[file].is_real(name))
    }

    /// A tensor's values as f32 bytes.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn bytes(&self, name: &str) -> Outcome<Cow<'_, [u8]>> {
        match self.names.get(name) {
            Some(&file) => Ok(self.list[file].bytes(name)?),
            None => Err(self.problem(format!("tensor `{name}` is missing"))),
        }
    }

    /// What lies beside the tensors.
    pub fn beside(&self) -> impl Iterator<Item = &str> {
        self.list.iter().flat_map(|file| &file.beside).map(String::as_str)
    }

    /// An error about these files.
    pub fn problem(&self, why: String) -> Failure {
        Failure::file(self.path(), why)
    }

    /// A shape with this many axes, none of length 0.
    ///
    /// # Errors
    /// If there is no such tensor, or it has another number of axes.
    pub fn dims<const N: usize>(&self, name: &str) -> Outcome<[usize; N]> {
        let shape = self.shape(name).ok_or_else(|| self.problem(format!("tensor `{name}` is missing")))?;
        <[usize; N]>::try_from(shape).ok().filter(|dims| !dims.contains(&0)).ok_or_else(|| {
            self.problem(format!("tensor `{name}` has shape {shape:?}; expected {N} axes, none of them empty"))
        })
    }

    /// How many numbers stand between `prefix.` and a dot: the layers of a list.
    pub fn count(&self, prefix: &str) -> usize {
        let number = |name: &str| {
            let (number, _) = name.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
            number.parse::<usize>().ok()
        };
        self.names().filter_map(number).collect::<BTreeSet<_>>().len()
    }

    /// The image tower, and why its heads may be those of 64 channels: names of its patch kernel `[d, 3, p, p]`, its positions `[.., 1+g·g, d]` and its list of blocks.
    ///
    /// # Errors
    /// If one is missing or has an impossible shape.
    pub fn vit(&self, [kernel, positions, blocks]: [&str; 3], usual: Option<&str>) -> Outcome<VitConfig> {
        let [width, _, patch, _] = self.dims(kernel)?;
        let rows = match self.shape(positions) {
            Some(&[rows, _] | &[1, rows, _]) => rows,
            Some(shape) => {
                let expected = format!("tensor `{positions}` has shape {shape:?}; expected [1, 1+g·g, {width}]");
                return Err(self.problem(expected));
            }
            None => return Err(self.problem(format!("tensor `{positions}` is missing"))),
        };
        let grid = rows.saturating_sub(1).isqrt();
        if grid == 0 || grid * grid + 1 != rows {
            let expected = format!("tensor `{positions}` has {rows} rows; expected a row for [CLS] and a square grid");
            return Err(self.problem(expected));
        }
        let image_size = grid.checked_mul(patch).ok_or_else(|| self.problem("impossible patches".into()))?;
        let depth = self.count(blocks);
        let heads = self.described.heads(Family::Vit, width, depth, usual)?;
        Ok(VitConfig { image_size, patch, width, depth, heads })
    }

    /// BERT below a prefix.
    ///
    /// # Errors
    /// If a table is missing or has an impossible shape, or is RoBERTa's.
    pub fn bert(&self, prefix: &str, usual: Option<&str>) -> Outcome<BertConfig> {
        let table = |what: &str| self.dims::<2>(&format!("{prefix}embeddings.{what}.weight"));
        let [vocabulary, width] = table("word_embeddings")?;
        let [positions, _] = table("position_embeddings")?;
        let [types, _] = table("token_type_embeddings")?;
        if types == 1 {
            let text = "one row of token types, as RoBERTa and its kin have: their positions begin at 2, their tokens are others; expected BERT";
            return Err(self.problem(text.into()));
        }
        let [intermediate, _] = self.dims(&format!("{prefix}encoder.layer.0.intermediate.dense.weight"))?;
        let depth = self.count(&format!("{prefix}encoder.layer"));
        let heads = self.described.heads(Family::Bert, width, depth, usual)?;
        Ok(BertConfig { vocabulary, positions, types, width, intermediate, depth, heads })
    }
}
