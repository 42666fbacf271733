//! Everything about one picture, as arrays. What they mean stands in `simseg::explanation`; nothing is computed here.

use crate::picture::shown;
use crate::{SimsegError, refused, shaped};
use numpy::{PyArray1, PyArray2, PyArray3, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use simseg::explanation::{Ledger, Term};

/// A class that was selected, step by step. Arrays are [height, width] of the model's input.
#[pyclass(frozen, get_all, module = "simseg")]
pub struct Selected {
    label: usize,
    name: String,
    score: f32,
    /// Cosines, upsampled.
    raw: Option<Py<PyArray2<f32>>>,
    map: Py<PyArray2<f32>>,
    unary: Option<Py<PyArray2<f32>>>,
    /// [rounds + 1, height, width]
    rounds: Option<Py<PyArray3<f32>>>,
    mask: Py<PyArray2<bool>>,
}

#[pymethods]
impl Selected {
    fn __repr__(&self) -> String {
        format!("simseg.Selected({:?}, label {}, score {:.4})", self.name, self.label, self.score)
    }
}

/// A segmentation, taken apart.
#[pyclass(frozen, module = "simseg")]
pub struct Explanation(pub simseg::Explanation);

type Matrix<'py> = PyResult<Bound<'py, PyArray2<f32>>>;

#[pymethods]
impl Explanation {
    #[getter]
    fn aligner(&self) -> &str {
        &self.0.aligner.kind
    }
    #[getter]
    fn recipe(&self) -> &str {
        &self.0.recipe
    }
    #[getter]
    fn classes(&self) -> Vec<&str> {
        self.0.classes.iter().map(|class| class.name.as_str()).collect()
    }
    #[getter]
    fn input_size(&self) -> (usize, usize) {
        (self.0.input.height, self.0.input.width)
    }
    #[getter]
    fn grid(&self) -> (usize, usize) {
        (self.0.grid.height, self.0.grid.width)
    }

    /// Projected patch features, [n, d].
    #[getter]
    fn patches<'py>(&self, py: Python<'py>) -> Matrix<'py> {
        shaped(py, self.0.patches.clone(), [self.0.grid.area(), self.0.channels])
    }
    /// The pooled image, [d].
    #[getter]
    fn embedding<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.0.embedding)
    }
    /// The pooled words, [c, d].
    #[getter]
    fn class_embeddings<'py>(&self, py: Python<'py>) -> Matrix<'py> {
        let rows = self.0.classes.iter().flat_map(|class| &class.embedding).copied().collect();
        shaped(py, rows, [self.0.classes.len(), self.0.channels])
    }
    /// The share of each patch in each channel of the pooled image, [n, d].
    #[getter]
    fn shares<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let (n, d) = (self.0.grid.area(), self.0.channels);
        self.0.pooling.shares(n, d).map(|shares| shaped(py, shares, [n, d])).transpose()
    }
    /// Where the image agrees with itself, on the grid.
    #[getter]
    fn image_to_image<'py>(&self, py: Python<'py>) -> Matrix<'py> {
        shaped(py, self.0.image_to_image.clone(), [self.0.grid.height, self.0.grid.width])
    }
    /// Where patches agree with each class, [c, rows, columns].
    #[getter]
    fn text_to_image<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        shaped(py, self.0.text_to_image.concat(), [self.0.classes.len(), self.0.grid.height, self.0.grid.width])
    }

    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.0.scores)
    }
    #[getter]
    fn threshold(&self) -> Option<f32> {
        self.0.selection.threshold
    }
    /// What each patch adds to each score, [c, n].
    #[getter]
    fn ledger<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let Ledger::Split { entries, .. } = &self.0.ledger else { return Ok(None) };
        shaped(py, entries.concat(), [self.0.classes.len(), self.0.grid.area()]).map(Some)
    }
    #[getter]
    fn why_no_ledger(&self) -> Option<&str> {
        match &self.0.ledger {
            Ledger::Whole { why } => Some(why),
            Ledger::Split { .. } => None,
        }
    }
    /// What each channel of each patch adds to the score of a class, [n, d].
    fn contributions<'py>(&self, py: Python<'py>, label: i64) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let label = known("label", label, self.0.classes.len())?;
        let size = [self.0.grid.area(), self.0.channels];
        self.0.contributions(label).map(|values| shaped(py, values, size)).transpose()
    }
    /// The channels that a patch was pooled in, the largest contribution first, as columns.
    fn terms<'py>(&self, py: Python<'py>, patch: i64, label: i64) -> PyResult<Bound<'py, PyDict>> {
        let patch = known("patch", patch, self.0.grid.area())?;
        let label = known("label", label, self.0.classes.len())?;
        let (terms, columns) = (self.0.terms(patch, label, None), PyDict::new(py));
        let wholes = |of: fn(&Term) -> usize| {
            PyArray1::from_vec(py, terms.iter().map(|term| of(term) as i64).collect::<Vec<i64>>())
        };
        let numbers = |of: fn(&Term) -> f32| PyArray1::from_vec(py, terms.iter().map(of).collect::<Vec<f32>>());
        columns.set_item("channel", wholes(|term| term.channel))?;
        columns.set_item("rank", wholes(|term| term.rank))?;
        columns.set_item("value", numbers(|term| term.value))?;
        columns.set_item("share", numbers(|term| term.share))?;
        columns.set_item("class", numbers(|term| term.class))?;
        columns.set_item("adds", numbers(|term| term.adds))?;
        Ok(columns)
    }

    /// The selected classes, by falling score.
    #[getter]
    fn selected(&self, py: Python<'_>) -> PyResult<Vec<Selected>> {
        let (height, width) = self.input_size();
        // What a recipe does not compute is an empty list there, and None here.
        let map = |values: &[f32]| match values.is_empty() {
            true => Ok(None),
            false => shaped(py, values.to_vec(), [height, width]).map(|map| Some(map.unbind())),
        };
        let one = |found: &simseg::explanation::Found| {
            let rounds = match found.q.len() {
                0 => None,
                count => Some(shaped(py, found.q.concat(), [count, height, width])?.unbind()),
            };
            let mask = found.mask.iter().map(|&inside| inside != 0).collect();
            Ok(Selected {
                label: found.class,
                name: self.0.classes[found.class].name.clone(),
                score: found.score,
                raw: map(&found.raw)?,
                map: shaped(py, found.map.clone(), [height, width])?.unbind(),
                unary: map(&found.unary)?,
                rounds,
                mask: shaped(py, mask, [height, width])?.unbind(),
            })
        };
        self.0.found.iter().map(one).collect()
    }
    /// A class for each pixel of the model's input.
    #[getter]
    fn composed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        shaped(py, self.0.composed.clone(), [self.0.input.height, self.0.input.width])
    }
    /// A class for each pixel of the picture.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        shaped(py, self.0.labels.clone(), [self.0.picture.height, self.0.picture.width])
    }
    /// Intersection over union for each class, [c].
    #[getter]
    fn iou<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        let of = |truth: &simseg::explanation::Truth| truth.iou.iter().map(|iou| iou.unwrap_or(f64::NAN)).collect();
        self.0.truth.as_ref().map(|truth| PyArray1::from_vec(py, of(truth)))
    }
    #[getter]
    fn miou(&self) -> Option<f64> {
        self.0.truth.as_ref().map(|truth| truth.miou)
    }

    /// All of it as JSON: what `simseg explain --json` writes.
    fn json(&self) -> PyResult<String> {
        self.0.to_json().map_err(refused)
    }
    /// The same as lists and dictionaries.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.json()?,))
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.0.found.iter().map(|found| self.0.classes[found.class].name.as_str()).collect();
        format!("simseg.Explanation({} aligner, {} classes, selected {names:?})", self.aligner(), self.0.classes.len())
    }
}

/// A number of one of so many.
fn known(what: &str, number: i64, count: usize) -> PyResult<usize> {
    let within = usize::try_from(number).ok().filter(|&number| number < count);
    within.ok_or_else(|| {
        PyIndexError::new_err(format!("{what}: expected 0 to {}, found {number}", count.saturating_sub(1)))
    })
}

/// In maps of 8 bits 255 is what is not counted, as in the files of PASCAL VOC.
fn widened(label: u8) -> u16 {
    if label == u8::MAX { u16::MAX } else { label.into() }
}

/// A true label map of the picture's size.
pub fn truth_of(labels: &Bound<'_, PyAny>, [height, width]: [usize; 2]) -> PyResult<Vec<u16>> {
    let (shape, values): (Vec<usize>, Vec<u16>) = if let Ok(wide) = labels.extract::<PyReadonlyArray2<'_, u16>>() {
        (wide.shape().to_vec(), wide.as_array().iter().copied().collect())
    } else if let Ok(narrow) = labels.extract::<PyReadonlyArray2<'_, u8>>() {
        (narrow.shape().to_vec(), narrow.as_array().iter().map(|&label| widened(label)).collect())
    } else {
        let found = shown(labels);
        return Err(PyTypeError::new_err(format!("truth: expected [height, width] of uint8 or uint16, found {found}")));
    };
    match shape == [height, width] {
        true => Ok(values),
        false => Err(SimsegError::new_err(format!("truth: {shape:?}; expected [{height}, {width}], as the image"))),
    }
}
