//! What fewer bits of the weights change: the reference backend with weights rounded to bf16 and int8, beside its own f32.
//!
//! For each type two comparisons of every intermediate of the forward pass:
//! - *exact*: weights kept in fewer bits against the same weights widened to f32 before. Both compute in f32, in the same order,
//!   so there is no difference at all; one would be a fault of how they are kept, copied or widened.
//! - *rounded*: the same against the weights as they were. This is the price of the type.

use super::probe::Probe;
use super::rows::Row;
use crate::failure::Outcome;
use simseg::{Extension, WeightType};
use simseg_data::checkpoint;
use simseg_tensor::{Result, SharedSlice, Tensor};
use simseg_testkit::Tolerance;
use simseg_testkit::subject::{Input, Subject};
use std::sync::Arc;

pub(super) const EXACT: Tolerance = Tolerance {
    name: "rounded weights, widened",
    reason: "the same f32 values in the same order, wherever they are kept",
    limit: 0.0,
    floor: 1.0,
};
pub(super) const BF16: Tolerance = Tolerance {
    name: "bf16 weights",
    reason: "each weight off by up to 2⁻⁸ of itself, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 2e-2,
    floor: 1.0,
};
pub(super) const INT8: Tolerance = Tolerance {
    name: "int8 weights",
    reason: "each weight off by up to 1/254 of its row's largest, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 1e-1,
    floor: 1.0,
};

/// The rows of both types.
///
/// # Errors
/// Whatever the backend says.
pub(super) fn rows<R: Tensor>(probe: &Probe<'_, impl Extension>, device: &R::Device) -> Outcome<Vec<Row>> {
    let whole = taps::<R>(probe, device, |values, _, _| values)?;
    let mut rows = vec![];
    for (kind, sections, tolerance) in
        [(WeightType::Bf16, ["bf16 exact", "bf16"], BF16), (WeightType::Int8, ["int8 exact", "int8"], INT8)]
    {
        let kept = taps::<R>(probe, device, |values, name, shape| checkpoint::rounded(values, name, shape, kind))?;
        let widened = taps::<R>(probe, device, |values, name, shape| {
            Arc::new((*checkpoint::rounded(values, name, shape, kind)).as_ref().to_vec())
        })?;
        let [exact, rounded] = sections;
        for (other, section, tolerance) in [(&widened, exact, EXACT), (&whole, rounded, tolerance)] {
            let row = |(reference, kept): (&Tapped, &Tapped)| {
                let (name, shape, values) = reference;
                Row::compare(section, name.clone(), (values, &kept.2), shape, tolerance)
            };
            rows.extend(other.iter().zip(&kept).filter(|(tapped, _)| tapped.0 != "loss").map(row));
        }
    }
    Ok(rows)
}

/// Name, shape, values.
type Tapped = (String, Vec<usize>, Vec<f64>);

/// Every intermediate of the forward pass with weights that `keep` was given by name and shape.
fn taps<R: Tensor>(
    probe: &Probe<'_, impl Extension>,
    device: &R::Device,
    keep: impl Fn(SharedSlice, &str, &[usize]) -> SharedSlice,
) -> Result<Vec<Tapped>> {
    let named = probe.parameters().into_iter().zip(probe.inputs());
    let one = |((name, shape), input): ((String, Vec<usize>), Input)| {
        R::from_shared(keep(Arc::new(input.values), &name, &shape), &shape, device)
    };
    let weights = named.map(one).collect::<Result<Vec<R>>>()?;
    let tapped = |(name, x): (String, R)| Ok((name, x.shape().to_vec(), x.to_vec()?));
    probe.compute(&weights)?.into_iter().map(tapped).collect()
}
