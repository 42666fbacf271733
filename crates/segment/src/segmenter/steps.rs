//! What a segmenter computes between the names of the trace file, for taps that ask for it: the material of an explanation.
//!
//! | name | shape | what |
//! |---|---|---|
//! | `threshold/entered` | `[n]` | classes whose scores entered μ and σ, by falling score |
//! | `threshold/statistics` | `[3]` | μ, σ and k of `θ = μ + k·σ` |
//! | `map/raw/<i>` | `[h, w]` | cosines of class i, upsampled, before classes compete and before min-max |
//! | `crf/unary/<i>` | `[h, w]` | log-odds of class i against the rest |
//! | `crf/q/<t>/<i>` | `[h, w]` | probability of class i after t rounds of messages |
//! | `composed` | `[h, w]` | labels at the input's size |
//!
//! They are shown to a tap that [wants](Tap::wants) [`WANTED`]; the trace file does not.

use crate::map::Size;
use crate::threshold::Looked;
use simseg_tensor::{Result, Tap, Tensor};

/// What a tap wants that wants to see them.
pub const WANTED: &str = "steps";

/// Shows the statistics of a threshold.
pub(super) fn show_statistics<T: Tensor>(looked: &Looked, tap: &mut dyn Tap<T>) -> Result<()> {
    if !tap.wants(WANTED) {
        return Ok(());
    }
    let entered: Vec<f32> = looked.entered.iter().map(|&class| class as f32).collect();
    tap.see_host("threshold/entered", &[entered.len()], &entered)?;
    tap.see_host("threshold/statistics", &[3], &[looked.mean, looked.deviation, looked.k].map(|value| value as f32))
}

/// Shows maps `[h·w]` of some classes before they are stretched.
pub(super) fn show_maps<T: Tensor>(
    classes: &[usize],
    size: Size,
    maps: &[Vec<f32>],
    tap: &mut dyn Tap<T>,
) -> Result<()> {
    classes
        .iter()
        .zip(maps)
        .try_for_each(|(class, map)| tap.see_host(&format!("map/raw/{class}"), &[size.height, size.width], map))
}

/// Passes on what a refiner shows, under the name of the class.
pub(super) fn shower<'a, T: Tensor>(
    classes: &'a [usize],
    size: Size,
    tap: &'a mut dyn Tap<T>,
) -> impl FnMut(&str, usize, &[f32]) -> Result<()> + 'a {
    move |name, map, values| match classes.get(map) {
        Some(class) => tap.see_host(&format!("{name}/{class}"), &[size.height, size.width], values),
        None => Ok(()),
    }
}
