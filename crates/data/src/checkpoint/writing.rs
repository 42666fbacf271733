//! Weights on their way to a file.

use super::floats;
use super::narrow::{self, SCALE, row_len};
use crate::{Error, Result, atomic};
use simseg_tensor::{Narrow, WeightType};
use std::borrow::Cow;
use std::path::Path;

/// A tensor on its way to a file: its bytes are asked for when their turn comes, so that a model is never in memory as a
/// whole on its account.
pub struct Stored<'a> {
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Making<'a>,
}

type Making<'a> = Box<dyn Fn() -> Cow<'a, [u8]> + 'a>;

impl<'a> Stored<'a> {
    /// Real values.
    pub fn f32(name: String, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self::lazy(name, shape, move || Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect()))
    }

    /// Labels of more than 255 classes.
    pub fn u16(name: String, shape: Vec<usize>, values: &[u16]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: safetensors::Dtype::U16, shape, bytes: Box::new(move || Cow::Owned(bytes.clone())) }
    }

    /// Masks and labels.
    pub fn u8(name: String, shape: Vec<usize>, values: Vec<u8>) -> Self {
        Self { name, dtype: safetensors::Dtype::U8, shape, bytes: Box::new(move || Cow::Owned(values.clone())) }
    }

    /// Real values as row-major f32 in little-endian bytes, made or borrowed when they are written.
    pub fn lazy(name: String, shape: Vec<usize>, bytes: impl Fn() -> Cow<'a, [u8]> + 'a) -> Self {
        Self { name, dtype: safetensors::Dtype::F32, shape, bytes: Box::new(bytes) }
    }

    /// The same in fewer bits: the values, and for int8 their scales in a tensor of their own.
    pub fn narrow(
        name: String,
        shape: Vec<usize>,
        kind: WeightType,
        bytes: impl Fn() -> Cow<'a, [u8]> + Clone + 'a,
    ) -> Vec<Self> {
        let row = row_len(&shape);
        let rounded = move || Narrow::round(kind, &floats(&bytes()), row);
        let (of, rows) = (format!("{name}{SCALE}"), shape.first().copied().unwrap_or(1));
        let values = rounded.clone();
        let making: Making<'a> = Box::new(move || Cow::Owned(values().bytes().to_vec()));
        let stored = Self { name, dtype: narrow::dtype(kind), shape, bytes: making };
        if kind != WeightType::Int8 {
            return vec![stored];
        }
        let scales = move || rounded().scales().iter().flat_map(|x| x.to_le_bytes()).collect();
        vec![stored, Self::lazy(of, vec![rows], move || Cow::Owned(scales()))]
    }
}

impl safetensors::View for &Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (self.bytes)()
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Writes named f32 tensors.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)], metadata: &[(&str, String)]) -> Result<()> {
    let store = |(name, shape, values): &(String, Vec<usize>, Vec<f32>)| {
        Stored::f32(name.clone(), shape.clone(), values.clone())
    };
    write_stored(path, &tensors.iter().map(store).collect::<Vec<_>>(), metadata)
}

/// Writes named tensors, one after the other.
///
/// # Errors
/// If the file cannot be written; the old one, if any, is then still there.
pub fn write_stored(path: &Path, tensors: &[Stored<'_>], metadata: &[(&str, String)]) -> Result<()> {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    atomic::write_by(path, |file| {
        safetensors::serialize_to_file(views, Some(metadata), file).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => Error::Io { path: path.to_owned(), source },
            other => Error::content(path, other.to_string()),
        })
    })
}
