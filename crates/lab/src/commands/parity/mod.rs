//! `simseg parity`: do two backends compute the same? If not: which operation, at which value, and whose fault is it?
//!
//! From small to large, the same inputs on both: every operation, every layer of the model, the loss, its gradients, one
//! optimiser step, twenty training steps; last, the reference with rounded weights beside itself. The first row that diverges is the one to read; [`simseg_testkit::diagnose`] tells a wrong
//! kernel from a wrong derivative rule and a wrong formula.
//!
//! Reading order: `pair` (which two), [`probe`] (a model and a batch that fits it), `rounded` (what fewer bits of weights
//! change), [`rows`] (comparisons and how they print).

mod pair;
pub mod probe;
mod rounded;
pub mod rows;

use crate::failure::{Failure, Outcome};
use clap::Args;
pub use pair::compare;
use probe::Probe;
use rows::{Report, Row};
use simseg::Extension;
use simseg_tensor::{Autodiff, Differentiable, Tensor};
use simseg_testkit::Tolerance;
use simseg_testkit::diagnose::{self, Finding};
use simseg_testkit::golden::goldens;
use simseg_testkit::subject;
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to hold the CPU backend against: naive (plain f64 loops), or tch in builds with libtorch.
    #[arg(long, default_value = "naive")]
    pub against: String,
    /// Where the other backend runs.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// A model directory instead of a fresh small model.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Write the table as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// Make one operation of the other backend slightly wrong, to see it found and named.
    #[arg(long, value_name = "OP")]
    pub inject: Option<String>,
}

const OPERATION: Tolerance = Tolerance {
    name: "f32 operation",
    reason: "24-bit mantissa, sums of a few terms, short polynomials",
    limit: 2e-5,
    floor: 1.0,
};
const LAYER: Tolerance = Tolerance {
    name: "f32 layer",
    reason: "tens of operations behind one another, renormalised by layer norm",
    limit: 1e-4,
    floor: 1.0,
};
const GRADIENT: Tolerance = Tolerance {
    name: "f32 gradient",
    reason: "the whole model twice, relative to a parameter's largest gradient",
    limit: 1e-3,
    floor: 1e-3,
};
const TRAINING: Tolerance =
    Tolerance { name: "f32 training", reason: "rounding grows from step to step", limit: 1e-4, floor: 1.0 };

const TRAINED: Tolerance = Tolerance {
    name: "f32 training of a trained model",
    reason: "a learned temperature multiplies the rounding of similarities by tens, and near ties of top-k tip over",
    limit: 2e-3,
    floor: 1.0,
};

/// The tolerances in the order of the table.
pub const TOLERANCES: [Tolerance; 10] = [
    OPERATION,
    LAYER,
    GRADIENT,
    TRAINING,
    TRAINED,
    rounded::EXACT,
    rounded::BF16,
    rounded::INT8,
    rounded::BF16_PRODUCTS,
    rounded::INT8_PRODUCTS,
];

/// Compares reference `R` with other `O`, whose own gradients are `N`'s (`N = O` where the backend has an engine of its
/// own, else `Autodiff<O>`). `plain_loops`: large models are out of the other backend's reach.
///
/// # Errors
/// Exit 1 if anything diverges, naming the first; exit 2 for bad input.
pub fn parity<R: Tensor, O: Tensor, N: Differentiable>(
    options: &Options,
    plain_loops: bool,
    extension: &impl Extension,
    reference: &R::Device,
    other: &O::Device,
    native: &N::Device,
) -> Outcome {
    let probe = Probe::load::<R>(options, plain_loops, extension, reference)?;
    let (mut rows, finding) = operations::<R, O, N>(reference, other, native)?;
    rows.extend(layers::<R, O>(&probe, reference, other)?);
    rows.extend(training::<R, N>(&probe, reference, native)?);
    rows.extend(rounded::rows::<R>(&probe, reference)?);
    let report = Report::new(&format!("{} on {}", options.against, options.device), rows, finding.as_ref());
    crate::output::print(format_args!("{report}"));
    if let Some(path) = &options.json {
        report.save(path)?;
    }
    match report.first_divergence {
        Some(first) => Err(Failure::Check(format!("first divergence: {first}"))),
        None => Ok(()),
    }
}

/// Values of every operation, then gradients; and the first that is to blame.
fn operations<R: Tensor, O: Tensor, N: Differentiable>(
    reference: &R::Device,
    other: &O::Device,
    native: &N::Device,
) -> Outcome<(Vec<Row>, Option<Finding>)> {
    let (mut rows, mut first) = (vec![], None);
    let goldens = goldens();
    for golden in &goldens {
        let leg = diagnose::values::<R, O>(golden, (reference, other), OPERATION)?;
        rows.push(Row::diagnosed("operation", golden.step.to_string(), &leg, OPERATION));
        first = first.or(leg.finding);
    }
    for golden in &goldens {
        let places = (reference, other, native);
        let legs = diagnose::gradients::<Autodiff<R>, Autodiff<O>, N>(golden, places, OPERATION)?;
        for (i, leg) in legs.into_iter().enumerate() {
            let name = format!("{}, input {i}", golden.step);
            rows.push(Row::diagnosed("derivative", name, &leg, OPERATION));
            first = first.or(leg.finding);
        }
    }
    Ok((rows, first))
}

/// Every tap of the forward pass.
fn layers<R: Tensor, O: Tensor>(
    probe: &Probe<'_, impl Extension>,
    reference: &R::Device,
    other: &O::Device,
) -> Outcome<Vec<Row>> {
    let (r, o) = (subject::values::<R>(probe, reference)?, subject::values::<O>(probe, other)?);
    let row = |(r, o): (subject::Named, subject::Named)| {
        let section = if r.name == "loss" { "loss" } else { "layer" };
        Row::compare(section, r.name, (&r.values, &o.values), &r.shape, LAYER)
    };
    Ok(r.into_iter().zip(o).map(row).collect())
}

/// The gradient of every parameter, the parameters after one step, and the losses of a few.
fn training<R: Tensor, N: Differentiable>(
    probe: &Probe<'_, impl Extension>,
    reference: &R::Device,
    native: &N::Device,
) -> Outcome<Vec<Row>> {
    let r = subject::gradients::<Autodiff<R>>(probe, reference)?;
    let n = subject::gradients::<N>(probe, native)?;
    let row = |(i, (name, shape)): (usize, (String, Vec<usize>))| {
        Row::compare("gradient", name, (&r[i], &n[i]), &shape, GRADIENT)
    };
    let mut rows: Vec<Row> = probe.parameters().into_iter().enumerate().map(row).collect();
    let mut whole = |section, name, (r, n): (Vec<f64>, Vec<f64>), tolerance| {
        rows.push(Row::compare(section, name, (&r, &n), &[r.len()], tolerance));
    };
    let updated = (probe.update::<R>(&r, reference)?, probe.update::<N>(&r, native)?);
    whole("optimiser", "parameters after one step".into(), updated, OPERATION);
    let losses = (probe.train::<Autodiff<R>>(reference)?, probe.train::<N>(native)?);
    let tolerance = if probe.trained { TRAINED } else { TRAINING };
    if !losses.0.is_empty() {
        whole("training", format!("losses of {} steps", losses.0.len()), losses, tolerance);
    }
    Ok(rows)
}
