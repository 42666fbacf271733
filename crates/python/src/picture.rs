//! What counts as a picture: an array `[height, width, 3]` of uint8, or a PIL image.
//!
//! An array whose bytes lie row by row is read where it is, while other threads of Python run. Nothing but its owner can keep these from
//! writing to it meanwhile (NumPy has no such lock), so `simseg.pyi` asks for that.

use crate::refused;
use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyType;
use simseg::{Image, Picture};
use std::borrow::Cow;

/// Pixels that Python holds: NumPy keeps them as long as this lives.
pub struct Pixels<'py>(PyReadonlyArray3<'py, u8>);

impl<'py> Pixels<'py> {
    /// The pixels of a NumPy array or a PIL image.
    pub fn of(image: &Bound<'py, PyAny>) -> PyResult<Self> {
        let image = if image.hasattr("convert")? && image.hasattr("getbbox")? && !image.is_instance_of::<PyType>() {
            from_pil(image)?
        } else {
            image.clone()
        };
        let array: PyReadonlyArray3<'_, u8> = image.extract().map_err(|_| {
            let expected = "[height, width, 3] of uint8 or a PIL image";
            PyTypeError::new_err(format!("image: expected {expected}, found {}", shown(&image)))
        })?;
        let [height, width, channels] = [0, 1, 2].map(|axis| array.shape()[axis]);
        if channels != 3 {
            return Err(PyTypeError::new_err(format!(
                "image: expected 3 channels (red, green, blue), found {channels}"
            )));
        }
        // Before gigabytes are copied from a picture that is refused then.
        Picture::check(width, height).map_err(refused)?;
        Ok(Self(array))
    }

    /// The picture: its bytes where they are if they lie row by row, else a copy that does.
    pub fn image(&self) -> PyResult<Image<Cow<'_, [u8]>>> {
        let (height, width) = (self.0.shape()[0], self.0.shape()[1]);
        // `as_slice` also gives the values of an array in Fortran's order, as they lie in memory.
        let rgb = match self.0.as_slice() {
            Ok(values) if self.0.is_c_contiguous() => Cow::Borrowed(values),
            _ => Cow::Owned(self.0.as_array().iter().copied().collect()),
        };
        Image::from_rgb(width, height, rgb).map_err(refused)
    }
}

/// A PIL image as an array. Pillow keeps four bytes a pixel, so that one copy is made in any case; `convert` would make a second one.
fn from_pil<'py>(image: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mode: String = image.getattr("mode")?.extract()?;
    let rgb = match mode.as_str() {
        "RGB" => image.clone(),
        // Pillow cuts off what is beyond 255 where one would expect it to be scaled.
        mode if mode.starts_with(['I', 'F']) => {
            return Err(PyTypeError::new_err(format!(
                "image: mode {mode} has more than 8 bits a channel; scale it to L or RGB first"
            )));
        }
        _ => image.call_method1("convert", ("RGB",))?,
    };
    image.py().import("numpy")?.call_method1("asarray", (rgb,))
}

/// Shape and type of what was given instead.
pub fn shown(array: &Bound<'_, PyAny>) -> String {
    let text = |name: &str| array.getattr(name).and_then(|value| value.str()).map(|value| value.to_string());
    match (text("shape"), text("dtype")) {
        (Ok(shape), Ok(dtype)) => format!("{shape} of {dtype}"),
        _ => array.get_type().name().map_or_else(|_| "no array".to_owned(), |name| format!("no array but {name}")),
    }
}
