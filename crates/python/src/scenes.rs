//! The small world: drawn scenes with captions and true labels.

use crate::{refused, shaped};
use numpy::{PyArray2, PyArray3, PyArray4};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use simseg::data::scenes::{Scene as Drawn, SceneConfig, World};

/// A drawn scene of the small world.
#[pyclass(frozen, get_all, module = "simseg")]
pub struct Scene {
    /// [side, side, 3]
    image: Py<PyArray3<u8>>,
    /// [side, side]
    labels: Py<PyArray2<u16>>,
    caption: String,
}

/// Draws scenes, in parallel and without Python's lock. What is not said is as in `SceneConfig`.
fn drawn(
    py: Python<'_>,
    [count, seed, first]: [u64; 3],
    bias: Option<f64>,
    second_object: Option<f64>,
) -> PyResult<Vec<Drawn>> {
    crate::may_compute()?;
    let end = first.checked_add(count).filter(|_| count <= 1 << 20);
    let end = end.ok_or_else(|| PyValueError::new_err("count: at most 1048576 scenes at once"))?;
    let usual = SceneConfig::default();
    let config = SceneConfig {
        bias: bias.unwrap_or(usual.bias),
        second_object: second_object.unwrap_or(usual.second_object),
        ..usual
    };
    let world = World::new(config, seed).map_err(refused)?;
    Ok(py.detach(|| world.scenes(first..end)))
}

/// Draws scenes of the small world.
#[pyfunction]
#[pyo3(signature = (count, seed = 0, first = 0, *, bias = None, second_object = None))]
pub fn scenes(
    py: Python<'_>,
    count: u64,
    seed: u64,
    first: u64,
    bias: Option<f64>,
    second_object: Option<f64>,
) -> PyResult<Vec<Scene>> {
    let one = |scene: Drawn| {
        let side = scene.size;
        let labels = scene.labels.into_iter().map(u16::from).collect();
        Ok(Scene {
            image: shaped(py, scene.rgb, [side, side, 3])?.unbind(),
            labels: shaped(py, labels, [side, side])?.unbind(),
            caption: scene.caption,
        })
    };
    drawn(py, [count, seed, first], bias, second_object)?.into_iter().map(one).collect()
}

/// Images, label maps and captions.
type Arrays<'py> = (Bound<'py, PyArray4<u8>>, Bound<'py, PyArray3<u16>>, Vec<String>);

/// Draws the same scenes as three columns.
#[pyfunction]
#[pyo3(signature = (count, seed = 0, first = 0, *, bias = None, second_object = None))]
pub fn scene_arrays(
    py: Python<'_>,
    count: u64,
    seed: u64,
    first: u64,
    bias: Option<f64>,
    second_object: Option<f64>,
) -> PyResult<Arrays<'_>> {
    let scenes = drawn(py, [count, seed, first], bias, second_object)?;
    let (n, side) = (scenes.len(), SceneConfig::default().image_size);
    let (mut images, mut labels) = (Vec::with_capacity(n * side * side * 3), Vec::with_capacity(n * side * side));
    let mut captions = Vec::with_capacity(n);
    for scene in scenes {
        images.extend(scene.rgb);
        labels.extend(scene.labels.into_iter().map(u16::from));
        captions.push(scene.caption);
    }
    Ok((shaped(py, images, [n, side, side, 3])?, shaped(py, labels, [n, side, side])?, captions))
}

/// The classes of the small world; 0 is the background.
#[pyfunction]
pub fn scene_classes() -> Vec<&'static str> {
    World::classes()
}
