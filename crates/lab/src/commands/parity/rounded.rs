//! What fewer bits of the weights change: the reference backend with weights rounded to bf16 and int8, beside its own f32.
//!
//! For each type three comparisons of every intermediate of the forward pass:
//! - *exact*: weights kept in fewer bits against the same weights widened to f32 before. Both compute in f32, in the same order,
//!   so there is no difference at all; one would be a fault of how they are kept, copied or widened.
//! - *rounded*: the same against the weights as they were. This is the price of the type.
//! - *dots*: what `--precision` computes, against the weights as they were. Where the CPU has instructions for products in this type
//!   their other operand is rounded as well; elsewhere these rows are those of *rounded*.

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
/// The worst of five models (a fresh one, `fixtures/tiny`, and those of `fixtures/pytorch`) was 1.1e-2.
pub(super) const BF16: Tolerance = Tolerance {
    name: "bf16 weights",
    reason: "each weight off by up to 2⁻⁸ of itself, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 2e-2,
    floor: 1.0,
};
/// The worst of the same models was 7.9e-2.
pub(super) const INT8: Tolerance = Tolerance {
    name: "int8 weights",
    reason: "each weight off by up to 1/254 of its row's largest, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 1e-1,
    floor: 1.0,
};

/// The worst of the same models, and of those imported in `fixtures/pytorch/import`, was 3.6e-2.
pub(super) const BF16_PRODUCTS: Tolerance = Tolerance {
    name: "bf16 products",
    reason: "both operands off by up to 2⁻⁸ of themselves, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 6e-2,
    floor: 1.0,
};
/// The worst of these was 1.1e-1.
pub(super) const INT8_PRODUCTS: Tolerance = Tolerance {
    name: "int8 products",
    reason: "both operands off by up to 1/254 of their row's largest, errors of a sum mostly cancel; renormalised by layer norm",
    limit: 2e-1,
    floor: 1.0,
};

/// The rows of both types.
///
/// # Errors
/// Whatever the backend says.
pub(super) fn rows<R: Tensor>(probe: &Probe<'_, impl Extension>, device: &R::Device) -> Outcome<Vec<Row>> {
    let whole = taps::<R>(probe, device, |values, _, _| values)?;
    let mut rows = vec![];
    for (kind, sections, tolerances) in [
        (WeightType::Bf16, ["bf16 exact", "bf16", "bf16 dots"], [EXACT, BF16, BF16_PRODUCTS]),
        (WeightType::Int8, ["int8 exact", "int8", "int8 dots"], [EXACT, INT8, INT8_PRODUCTS]),
    ] {
        let kept = taps::<R>(probe, device, |values, name, shape| checkpoint::rounded(values, name, shape, kind))?;
        let widened = taps::<R>(probe, device, |values, name, shape| {
            Arc::new((*checkpoint::rounded(values, name, shape, kind)).as_ref().to_vec())
        })?;
        let computed =
            taps::<R>(probe, device, |values, name, shape| checkpoint::rounded_with_inputs(values, name, shape, kind))?;
        let pairs = [[&widened, &kept], [&whole, &kept], [&whole, &computed]];
        for (i, [reference, other]) in pairs.into_iter().enumerate() {
            rows.extend(compared(sections[i], reference, other, tolerances[i]));
        }
    }
    Ok(rows)
}

/// A row for each intermediate but the loss, which a temperature multiplies: similarities are the last.
fn compared<'a>(
    section: &'static str,
    reference: &'a [Tapped],
    other: &'a [Tapped],
    tolerance: Tolerance,
) -> impl Iterator<Item = Row> + 'a {
    let pairs = reference.iter().zip(other).filter(|((name, ..), _)| name != "loss");
    pairs.map(move |((name, shape, reference), (.., other))| {
        Row::compare(section, name.clone(), (reference, other), shape, tolerance)
    })
}

/// Name, shape, values.
type Tapped = (String, Vec<usize>, Vec<f64>);

/// Every intermediate of the forward pass with weights that `keep` was given by value, name and shape.
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

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    /// Values with so many significant bits, and rows in whole steps of so many a side.
    fn significant(x: f32, bits: u32) -> f32 {
        let beyond = 24 - bits;
        f32::from_bits((x.to_bits() + (1 << (beyond - 1))) >> beyond << beyond)
    }
    fn steps(row: &[f32], most: f32) -> impl Iterator<Item = f32> + '_ {
        let step = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / most;
        row.iter().map(move |x| if step > 0.0 { (x / step).round() * step } else { 0.0 })
    }

    #[test]
    fn a_type_keeps_its_tolerance_and_one_of_half_the_bits_does_not() {
        let options = Options { against: "naive".into(), device: "cpu".into(), model: None, json: None, inject: None };
        let probe = Probe::load::<CpuTensor<f32>>(&options, true, &(), &CpuDevice).unwrap();
        let whole = taps::<CpuTensor<f32>>(&probe, &CpuDevice, |values, _, _| values).unwrap();
        let agrees = |round: &dyn Fn(&[f32], usize) -> Vec<f32>, tolerance: Tolerance| {
            let keep = |values: SharedSlice, name: &str, shape: &[usize]| -> SharedSlice {
                let row = shape.iter().skip(1).product::<usize>().max(1);
                if checkpoint::is_narrowed(name, shape) { Arc::new(round((*values).as_ref(), row)) } else { values }
            };
            let rounded = taps::<CpuTensor<f32>>(&probe, &CpuDevice, keep).unwrap();
            compared("", &whole, &rounded, tolerance).all(|row| row.agrees)
        };
        let floating = |bits: u32| {
            move |values: &[f32], _: usize| -> Vec<f32> { values.iter().map(|&x| significant(x, bits)).collect() }
        };
        let fixed = |most: f32| {
            move |values: &[f32], row: usize| -> Vec<f32> {
                values.chunks(row).flat_map(|row| steps(row, most)).collect()
            }
        };
        assert!(agrees(&floating(8), BF16) && !agrees(&floating(4), BF16));
        assert!(agrees(&fixed(127.0), INT8) && !agrees(&fixed(7.0), INT8));
        assert!(!agrees(&fixed(127.0), EXACT), "rounding is no widening");
    }
}
