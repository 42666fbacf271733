//! The CRF as a refiner: a map is taken for a probability (paper and released code), the mask is closed afterwards.

use super::logistic::logit;
use super::{CrfParameters, Lattices};
use crate::map::Size;
use crate::needs::Needs;
use crate::refine::morphology::Closings;
use crate::refine::{Canvas, MaskStep, Masks, Refiner, Watch};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::Result;

/// A dense CRF and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crf {
    /// Who competes for a pixel.
    pub labels: CrfLabels,
    /// Which bytes of the image it sees.
    pub image: CrfImage,
    /// What happens to the mask afterwards.
    pub closing: Closings,
    /// Its kernels and iterations.
    pub kernels: CrfParameters,
}

impl Default for Crf {
    /// The released code.
    fn default() -> Self {
        Self {
            labels: CrfLabels::ClassOrRest,
            image: CrfImage::Truncated,
            closing: Closings::AsExecuted,
            kernels: CrfParameters::default(),
        }
    }
}

/// Who competes for a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrfLabels {
    /// One CRF per class: the class, with probability `p`, or the rest, with `1 − p` (paper and released code).
    ClassOrRest,
    /// One CRF for all: every class with its `p` and the background with `1 − max p`, divided by their sum.
    Joint,
    /// One CRF for all whose maps are probabilities already (`map.compete`): every class with its `p` and the background with what
    /// they leave, `1 − Σ p`.
    Probabilities,
}

/// Which bytes of the image the CRF sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrfImage {
    /// Those of the resized image.
    Exact,
    /// Those that come back from the normalised pixels, `⌊255·(x·std + mean)⌋`: often one less (released code).
    Truncated,
}

impl Refiner for Crf {
    fn needs(&self) -> Needs {
        Needs { truncated: self.image == CrfImage::Truncated, ..Needs::default() }
    }

    fn each_alone(&self) -> bool {
        self.labels == CrfLabels::ClassOrRest
    }

    fn memory(&self, size: Size, maps: usize) -> usize {
        // Energies and marginals of joint labels, or marginals of each class; its mask, and the same closed (and grown, on the way).
        let labels = if self.labels == CrfLabels::ClassOrRest { maps } else { 3 * (maps + 1) };
        let together = if self.labels == CrfLabels::ClassOrRest && maps <= 1 { 1 } else { 8 };
        Lattices::memory(size.height, size.width, &self.kernels, together)
            + size.area() * (labels * size_of::<f32>() + 3 * maps)
    }

    fn refine(&self, canvas: Canvas<'_>, maps: &[Vec<f32>]) -> Result<Masks> {
        self.run(canvas, maps, None)
    }

    /// Shows `crf/unary`, the log-odds that a map says (class against rest), and `crf/q/0` … `crf/q/T`, the probability of each class
    /// after so many rounds of messages.
    fn refine_watched(&self, canvas: Canvas<'_>, maps: &[Vec<f32>], watch: Watch<'_>) -> Result<Masks> {
        self.run(canvas, maps, Some(watch))
    }
}

impl Crf {
    fn run(&self, canvas: Canvas<'_>, maps: &[Vec<f32>], watch: Option<Watch<'_>>) -> Result<Masks> {
        if maps.is_empty() {
            return Ok(Masks::default());
        }
        let lattices = Lattices::new(canvas.rgb, canvas.size.height, canvas.size.width, &self.kernels)?;
        let said = match self.labels {
            CrfLabels::ClassOrRest => class_or_rest(&lattices, maps, watch)?,
            CrfLabels::Joint => {
                let rest = |p: &[f32]| 1.0 - p.iter().copied().fold(0.0, f32::max);
                joint(&lattices, canvas.size.area(), maps, rest, watch)?
            }
            CrfLabels::Probabilities => {
                let rest = |p: &[f32]| (1.0 - p.iter().sum::<f32>()).max(0.0);
                joint(&lattices, canvas.size.area(), maps, rest, watch)?
            }
        };
        let close = |mask: &Vec<u8>| match self.closing.closing() {
            Some(closing) => closing.apply(mask, canvas.size.height, canvas.size.width),
            None => Ok(mask.clone()),
        };
        let last = said.iter().map(close).collect::<std::result::Result<_, _>>()?;
        Ok(Masks { last, steps: vec![MaskStep { name: "crf", masks: said }] })
    }
}

/// Shows the marginals of a map after round `t`, unless showing failed before.
fn tell(shown: &mut Result<()>, watch: Watch<'_>, (t, map): (usize, usize), q: &dyn Fn() -> Vec<f32>) {
    if shown.is_ok() {
        *shown = watch(&format!("crf/q/{t}"), map, &q());
    }
}

/// One CRF per class, the class against the rest.
fn class_or_rest(lattices: &Lattices, maps: &[Vec<f32>], watch: Option<Watch<'_>>) -> Result<Vec<Vec<u8>>> {
    let maps: Vec<&[f32]> = maps.iter().map(Vec::as_slice).collect();
    let Some(watch) = watch else { return Ok(lattices.infer(&maps)?.iter().map(|q| above_half(q)).collect()) };
    for (map, values) in maps.iter().enumerate() {
        watch("crf/unary", map, &values.iter().map(|&p| logit(p)).collect::<Vec<f32>>())?;
    }
    let mut shown = Ok(());
    let marginals = lattices.infer_watched(&maps, &mut |t, map, q| tell(&mut shown, watch, (t, map), q))?;
    shown?;
    Ok(marginals.iter().map(|q| above_half(q)).collect())
}

/// 1 where the class is likelier than the rest.
fn above_half(q: &[f32]) -> Vec<u8> {
    q.iter().map(|&q| u8::from(q > 0.5)).collect()
}

/// One CRF for all classes and the background, on `n` pixels; `rest` is what the classes' probabilities leave to the background.
fn joint(
    lattices: &Lattices,
    n: usize,
    maps: &[Vec<f32>],
    rest: impl Fn(&[f32]) -> f32,
    watch: Option<Watch<'_>>,
) -> Result<Vec<Vec<u8>>> {
    let labels = maps.len() + 1;
    let mut energies = vec![0.0f32; labels * n]; // [1 + k, h·w]
    for pixel in 0..n {
        let values: Vec<f32> = maps.iter().map(|map| map[pixel].clamp(0.0, 1.0)).collect();
        let rest = rest(&values);
        let sum = rest + values.iter().sum::<f32>(); // at least 1, for either rest
        for (label, p) in std::iter::once(rest).chain(values).enumerate() {
            energies[label * n + pixel] = -(p / sum + 1e-8).ln();
        }
    }
    let mut shown = Ok(());
    let q = match watch {
        None => lattices.infer_multi(&energies, labels)?, // [1 + k, h·w]
        Some(watch) => lattices.infer_multi_watched(&energies, labels, &mut |t, label, q| {
            if let Some(map) = label.checked_sub(1) {
                tell(&mut shown, watch, (t, map), q);
            }
        })?,
    };
    shown?;
    let first =
        |pixel: usize| (1..labels).fold(0, |best, l| if q[l * n + pixel] > q[best * n + pixel] { l } else { best });
    let winner: Vec<usize> = (0..n).map(first).collect();
    Ok((1..labels).map(|label| winner.iter().map(|&w| u8::from(w == label)).collect()).collect())
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Refiner>) {
    kinds.add("crf", "a dense CRF, and a closing", |refiner: Crf| Ok(Box::new(refiner)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_leave_the_background_what_no_class_takes() {
        // Two classes of .45 and .35 leave .2: the first wins. As two maps of their own they leave the rest .55.
        let canvas = Canvas { size: Size { height: 1, width: 2 }, rgb: &[100; 6] };
        let maps = [vec![0.45, 0.1], vec![0.35, 0.1]];
        let run = |labels| {
            let kernels = CrfParameters { iterations: 0, ..CrfParameters::default() };
            let crf = Crf { labels, closing: Closings::Off, kernels, ..Crf::default() };
            crf.refine(canvas, &maps).unwrap().last
        };
        assert_eq!(run(CrfLabels::Probabilities), [[1, 0], [0, 0]]);
        assert_eq!(run(CrfLabels::Joint), [[0, 0], [0, 0]]);
    }
}
