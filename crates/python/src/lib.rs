//! simseg from Python: NumPy in, a label map out. Types and docstrings for editors: `simseg.pyi`.

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use simseg::data::scenes::{SceneConfig, World};
use simseg::{ClassList, Error, Picture, WeightType};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

create_exception!(simseg, SimsegError, PyValueError, "A file, a word or a picture is not what it should be.");

fn refused(error: Error) -> PyErr {
    match error {
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        error => SimsegError::new_err(error.to_string()),
    }
}

/// A matrix `[height, width]` for Python, without a copy.
fn matrix<'py, V: numpy::Element>(
    py: Python<'py>,
    values: Vec<V>,
    [height, width]: [usize; 2],
) -> PyResult<Bound<'py, PyArray2<V>>> {
    let values = Array2::from_shape_vec((height, width), values);
    Ok(values.map_err(|error| PyValueError::new_err(error.to_string()))?.into_pyarray(py))
}

/// Classes that a model has embedded.
#[pyclass(frozen, module = "simseg")]
#[derive(Clone)]
struct Words(Arc<simseg::Words<simseg::Cpu>>);

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
struct Found {
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
struct Segmented {
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
struct Model(simseg::Model);

#[pymethods]
impl Model {
    /// Opens a directory with config.json, model.safetensors, and vocab.txt or tokenizer.json.
    #[new]
    #[pyo3(signature = (path, precision = "f32"))]
    fn new(py: Python<'_>, path: PathBuf, precision: &str) -> PyResult<Self> {
        let rounded = match precision {
            "f32" => None,
            "bf16" => Some(WeightType::Bf16),
            "int8" => Some(WeightType::Int8),
            other => {
                return Err(PyValueError::new_err(format!("precision: expected f32, bf16 or int8, found {other:?}")));
            }
        };
        py.detach(|| match rounded {
            None => simseg::Model::open(path),
            Some(kind) => simseg::Model::open_rounded(path, kind),
        })
        .map(Self)
        .map_err(refused)
    }

    /// Opens a model from the bytes of its files.
    #[staticmethod]
    fn from_bytes(
        config: &Bound<'_, PyBytes>,
        weights: &Bound<'_, PyBytes>,
        vocabulary: &Bound<'_, PyBytes>,
    ) -> PyResult<Self> {
        simseg::Model::from_bytes(config.as_bytes(), weights.as_bytes(), vocabulary.as_bytes())
            .map(Self)
            .map_err(refused)
    }

    /// Embeds words, one class each; the background is put in front.
    fn words(&self, py: Python<'_>, words: Vec<String>) -> PyResult<Words> {
        let mut lines = words;
        let first = lines.first().and_then(|line| line.split('|').next()).unwrap_or_default();
        if !first.trim().eq_ignore_ascii_case("background") {
            lines.insert(0, "background".to_owned());
        }
        let list = ClassList::parse(&lines.join("\n")).map_err(|error| refused(error.into()))?;
        // Ctrl-C is asked for between sentences; who presses it gets KeyboardInterrupt and no words.
        let mut watch = |_: usize, _: usize| match Python::attach(|py| py.check_signals()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let embedded = py.detach(|| self.0.classes_watched(list, &mut watch)).map_err(refused)?;
        Ok(Words(Arc::new(embedded)))
    }

    /// Segments a picture: [height, width, 3] of uint8 in any layout, or a PIL image.
    fn segment(&self, py: Python<'_>, image: &Bound<'_, PyAny>, words: &Bound<'_, PyAny>) -> PyResult<Segmented> {
        let words = match words.cast::<Words>() {
            Ok(words) => words.get().clone(),
            Err(_) if words.extract::<String>().is_ok() => {
                return Err(PyTypeError::new_err("words: expected a list of strings, found one string"));
            }
            Err(_) => self.words(py, words.extract()?)?,
        };
        let picture = picture(image)?;
        let (height, width) = (picture.height, picture.width);
        let found = py.detach(|| self.0.segment(&picture, &words.0)).map_err(refused)?;
        py.check_signals()?;
        let input = self.0.input_size(&picture);
        let size = [input.height, input.width];
        let maps = found.details.masks.into_iter().zip(found.found).map(|(mask, class)| {
            let map = matrix(py, mask.map, size)?.unbind();
            Py::new(py, Found { label: class.class, name: class.name, score: class.score, share: class.share, map })
        });
        Ok(Segmented {
            found: maps.collect::<PyResult<_>>()?,
            classes: words.classes(),
            labels: matrix(py, found.labels.values, [height, width])?.unbind(),
            scores: found.details.scores.into_pyarray(py).unbind(),
            threshold: found.details.threshold,
        })
    }

    fn __repr__(&self) -> String {
        format!("simseg.Model({} aligner)", self.0.description().aligner.kind)
    }
}

/// A NumPy array or a PIL image.
fn picture(image: &Bound<'_, PyAny>) -> PyResult<Picture> {
    let image = if image.hasattr("convert")? && image.hasattr("getbbox")? {
        let rgb = image.call_method1("convert", ("RGB",))?;
        image.py().import("numpy")?.call_method1("asarray", (rgb,))?
    } else {
        image.clone()
    };
    let array: PyReadonlyArray3<'_, u8> = image.extract().map_err(|_| {
        let shown = image.getattr("shape").and_then(|shape| shape.str()).map(|shape| shape.to_string());
        let kind = image.getattr("dtype").and_then(|kind| kind.str()).map(|kind| kind.to_string());
        let shown = format!("{} of {}", shown.unwrap_or_default(), kind.unwrap_or_else(|_| "no array".to_owned()));
        PyTypeError::new_err(format!("image: expected [height, width, 3] of uint8 or a PIL image, found {shown}"))
    })?;
    let [height, width, channels] = [0, 1, 2].map(|axis| array.shape()[axis]);
    if channels != 3 {
        return Err(PyTypeError::new_err(format!("image: expected 3 channels (red, green, blue), found {channels}")));
    }
    Picture::check(width, height).map_err(|error| refused(error.into()))?;
    // `as_slice` also gives the values of an array in Fortran's order, as they lie in memory.
    let rgb = match array.as_slice() {
        Ok(values) if array.is_c_contiguous() => values.to_vec(),
        _ => array.as_array().iter().copied().collect(),
    };
    Picture::from_rgb(width, height, rgb).map_err(|error| refused(error.into()))
}

/// A drawn scene of the small world.
#[pyclass(frozen, get_all, module = "simseg")]
struct Scene {
    image: Py<PyArray3<u8>>,
    labels: Py<PyArray2<u16>>,
    caption: String,
}

/// Draws scenes of the small world.
#[pyfunction]
#[pyo3(signature = (count, seed = 0, first = 0))]
fn scenes(py: Python<'_>, count: u64, seed: u64, first: u64) -> PyResult<Vec<Scene>> {
    let end = first.checked_add(count).filter(|_| count <= 1 << 20);
    let end = end.ok_or_else(|| PyValueError::new_err("count: at most 1048576 scenes at once"))?;
    let world = World::new(SceneConfig::default(), seed).map_err(|error| refused(error.into()))?;
    let one = |scene: simseg::data::scenes::Scene| {
        let side = scene.size;
        let image = PyArray1::from_vec(py, scene.rgb).reshape([side, side, 3])?.unbind();
        let labels = matrix(py, scene.labels.into_iter().map(u16::from).collect(), [side, side])?.unbind();
        Ok(Scene { image, labels, caption: scene.caption })
    };
    py.detach(|| world.scenes(first..end)).into_iter().map(one).collect()
}

/// The classes of the small world; 0 is the background.
#[pyfunction]
fn scene_classes() -> Vec<&'static str> {
    World::classes()
}

/// Text-supervised semantic segmentation: open a model, name what to look for, get a label map.
#[pymodule(name = "simseg")]
fn simseg_module(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Model>()?;
    m.add_class::<Words>()?;
    m.add_class::<Found>()?;
    m.add_class::<Segmented>()?;
    m.add_class::<Scene>()?;
    m.add("SimsegError", m.py().get_type::<SimsegError>())?;
    m.add("UNCLAIMED", u16::MAX)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(scenes, m)?)?;
    m.add_function(wrap_pyfunction!(scene_classes, m)?)
}
