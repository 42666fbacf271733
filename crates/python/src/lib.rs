//! simseg from Python: NumPy in, NumPy out. Types and docstrings for editors: `simseg.pyi`.
//!
//! Reading order: `picture` (what counts as a picture), `model` (open, embed words, segment), `explanation` (everything about one picture),
//! `scenes` (the small world), `results` (what experiments leave, as columns).

mod picture;
mod model;
mod explanation;
mod scenes;
mod results;

use numpy::ndarray::IntoDimension;
use numpy::{PyArray, PyArray1, PyArrayMethods};
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use simseg::Error;
use std::sync::atomic::{AtomicU32, Ordering};

create_exception!(simseg, SimsegError, PyValueError, "A file, a word or a picture is not what it should be.");

fn refused(error: impl Into<Error>) -> PyErr {
    match error.into() {
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        error => SimsegError::new_err(error.to_string()),
    }
}

/// The process that has computed; 0 before.
static COMPUTED: AtomicU32 = AtomicU32::new(0);

/// To be asked before anything is computed: a fork has none of its parent's threads, and would wait for them for ever.
fn may_compute() -> PyResult<()> {
    let own = std::process::id();
    match COMPUTED.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Err(other) if other != own => Err(SimsegError::new_err(
            "this process was forked from one in which simseg had computed, and lacks its threads: \
             multiprocessing.set_start_method(\"spawn\"), or use simseg in the forked processes only",
        )),
        _ => Ok(()),
    }
}

/// An array of this shape for Python, without a copy.
fn shaped<'py, V: numpy::Element, Shape: IntoDimension>(
    py: Python<'py>,
    values: Vec<V>,
    shape: Shape,
) -> PyResult<Bound<'py, PyArray<V, Shape::Dim>>> {
    PyArray1::from_vec(py, values).reshape(shape)
}

/// Text-supervised semantic segmentation: open a model, name what to look for, get a label map.
#[pymodule(name = "simseg")]
fn simseg_module(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<model::Model>()?;
    m.add_class::<model::Words>()?;
    m.add_class::<model::Found>()?;
    m.add_class::<model::Segmented>()?;
    m.add_class::<explanation::Explanation>()?;
    m.add_class::<explanation::Selected>()?;
    m.add_class::<scenes::Scene>()?;
    m.add("SimsegError", m.py().get_type::<SimsegError>())?;
    m.add("UNCLAIMED", u16::MAX)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(scenes::scenes, m)?)?;
    m.add_function(wrap_pyfunction!(scenes::scene_arrays, m)?)?;
    m.add_function(wrap_pyfunction!(scenes::scene_classes, m)?)?;
    m.add_function(wrap_pyfunction!(results::results, m)?)?;
    m.add_function(wrap_pyfunction!(results::training_log, m)?)
}
