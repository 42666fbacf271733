//! A model directory, words that it has embedded, and label maps.

use crate::explanation::{Explanation, truth_of};
use crate::picture::Pixels;
use crate::{may_compute, refused, shaped};
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use simseg::memory::Size;
use simseg::{ClassList, WeightType};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// One more than a class list may have.
const MOST_WORDS: usize = 1 << 16;

/// Classes that a model has embedded.
#[pyclass(frozen, module = "simseg")]
#[derive(Clone)]
pub struct Words(Arc<simseg::Words<simseg::Cpu>>);

#[pymethods]
impl Words {
    /// The first word of each class; class 0 is the background.
    #[getter]
    fn classes(&self) -> Vec<String> {
        (0..self.0.list.len()).map(|class| self.0.list.name(class).to_owned()).collect()
    }
    fn __len__(&self) -> usize {
        self.0.list.len()
    }
    fn __repr__(&self) -> String {
        format!("simseg.Words({:?})", self.classes())
    }
}

/// A class that was found in a picture.
#[pyclass(frozen, get_all, module = "simseg")]
pub struct Found {
    label: usize,
    name: String,
    score: f32,
    share: f64,
    /// Its similarity at each pixel of the model's input, [height, width].
    map: Py<PyArray2<f32>>,
}

#[pymethods]
impl Found {
    fn __repr__(&self) -> String {
        format!("simseg.Found({:?}, label {}, score {:.4}, share {:.3})", self.name, self.label, self.score, self.share)
    }
}

/// A label map, and how it came about.
#[pyclass(frozen, get_all, module = "simseg")]
pub struct Segmented {
    /// A class for each pixel, [height, width].
    labels: Py<PyArray2<u16>>,
    classes: Vec<String>,
    /// One score for each class.
    scores: Py<PyArray1<f32>>,
    threshold: f32,
    found: Vec<Py<Found>>,
}

/// A model directory on the CPU.
#[pyclass(frozen, module = "simseg")]
pub struct Model(simseg::Model);

#[pymethods]
impl Model {
    /// Opens a directory with config.json, model.safetensors, and vocab.txt or tokenizer.json.
    #[new]
    #[pyo3(signature = (path, precision = "f32", *, memory_limit = None))]
    fn new(py: Python<'_>, path: PathBuf, precision: &str, memory_limit: Option<usize>) -> PyResult<Self> {
        let rounded = match precision {
            "f32" => None,
            "bf16" => Some(WeightType::Bf16),
            "int8" => Some(WeightType::Int8),
            other => {
                return Err(PyValueError::new_err(format!("precision: expected f32, bf16 or int8, found {other:?}")));
            }
        };
        let opened = || {
            let model = match rounded {
                None => simseg::Model::open(path),
                Some(kind) => simseg::Model::open_rounded(path, kind),
            };
            limited(model?, memory_limit)
        };
        py.detach(opened).map(Self).map_err(refused)
    }

    /// Opens a model from the bytes of its files.
    #[staticmethod]
    #[pyo3(signature = (config, weights, vocabulary, *, memory_limit = None))]
    fn from_bytes(
        config: &Bound<'_, PyBytes>,
        weights: &Bound<'_, PyBytes>,
        vocabulary: &Bound<'_, PyBytes>,
        memory_limit: Option<usize>,
    ) -> PyResult<Self> {
        simseg::Model::from_bytes(config.as_bytes(), weights.as_bytes(), vocabulary.as_bytes())
            .and_then(|model| limited(model, memory_limit))
            .map(Self)
            .map_err(refused)
    }

    /// Embeds words, one class each; the background is put in front.
    fn words(&self, py: Python<'_>, words: &Bound<'_, PyAny>) -> PyResult<Words> {
        if words.extract::<String>().is_ok() {
            return Err(PyTypeError::new_err("words: expected a list of strings, found one string"));
        }
        may_compute()?;
        // One after the other, however many a sequence says that it has; one more than a list may have is refused below.
        let lines =
            words.try_iter()?.take(MOST_WORDS).map(|word| word?.extract()).collect::<PyResult<Vec<String>>>()?;
        let list = ClassList::of_words(lines).map_err(refused)?;
        // Ctrl-C is asked for between sentences; who presses it gets KeyboardInterrupt and no words.
        let mut watch = |_: usize, _: usize| match Python::attach(|py| py.check_signals()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let embedded = py.detach(|| self.0.classes_watched(list, &mut watch)).map_err(refused)?;
        Ok(Words(Arc::new(embedded)))
    }

    /// Bytes that a picture of this size needs at most, stage by stage.
    fn memory<'py>(
        &self,
        py: Python<'py>,
        height: usize,
        width: usize,
        words: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let words = self.embedded(py, words)?;
        simseg::Picture::check(width, height).map_err(simseg::Error::from).map_err(refused)?;
        let needed = self.0.memory(Size { height, width }, &words.0);
        let told = PyDict::new(py);
        for (stage, bytes) in [
            ("weights", needed.weights),
            ("resize", needed.resize),
            ("encode", needed.encode),
            ("segment", needed.segment),
            ("peak", needed.peak()),
        ] {
            told.set_item(stage, bytes)?;
        }
        Ok(told)
    }

    /// Segments a picture: [height, width, 3] of uint8 in any layout, or a PIL image.
    fn segment(&self, py: Python<'_>, image: &Bound<'_, PyAny>, words: &Bound<'_, PyAny>) -> PyResult<Segmented> {
        may_compute()?;
        let words = self.embedded(py, words)?;
        let pixels = Pixels::of(image)?;
        let image = pixels.image()?;
        let found = py.detach(|| self.0.segment(&image, &words.0)).map_err(refused)?;
        py.check_signals()?;
        let input = self.0.input_size(&image);
        let maps = found.details.masks.into_iter().zip(found.found).map(|(mask, class)| {
            let map = shaped(py, mask.map, [input.height, input.width])?.unbind();
            Py::new(py, Found { label: class.class, name: class.name, score: class.score, share: class.share, map })
        });
        Ok(Segmented {
            found: maps.collect::<PyResult<_>>()?,
            classes: words.classes(),
            labels: shaped(py, found.labels.values, [image.height, image.width])?.unbind(),
            scores: found.details.scores.into_pyarray(py).unbind(),
            threshold: found.details.threshold,
        })
    }

    /// Segments a picture and says everything about how.
    #[pyo3(signature = (image, words, truth = None))]
    fn explain(
        &self,
        py: Python<'_>,
        image: &Bound<'_, PyAny>,
        words: &Bound<'_, PyAny>,
        truth: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Explanation> {
        may_compute()?;
        let words = self.embedded(py, words)?;
        let pixels = Pixels::of(image)?;
        let image = pixels.image()?;
        let truth = truth.map(|labels| truth_of(labels, [image.height, image.width])).transpose()?;
        let told = py.detach(|| self.0.explain(&image, &words.0, truth.as_deref())).map_err(refused)?;
        py.check_signals()?;
        Ok(Explanation(told))
    }

    fn __repr__(&self) -> String {
        format!("simseg.Model({} aligner)", self.0.description().aligner.kind)
    }
}

/// The model with a limit, if there is to be one.
fn limited(model: simseg::Model, bytes: Option<usize>) -> simseg::Result<simseg::Model> {
    match bytes {
        Some(bytes) => model.with_memory_limit(bytes),
        None => Ok(model),
    }
}

impl Model {
    /// Words as they are, or embedded now.
    fn embedded(&self, py: Python<'_>, words: &Bound<'_, PyAny>) -> PyResult<Words> {
        match words.cast::<Words>() {
            Ok(words) => Ok(words.get().clone()),
            Err(_) => self.words(py, words),
        }
    }
}
