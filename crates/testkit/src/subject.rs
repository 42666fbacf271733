//! A computation as data: its inputs, and how to compute, written once for every backend.
//!
//! Operations, random programs and whole networks are subjects, so that one comparison and one diagnosis serve them all.

use crate::difference::Difference;
use crate::gradient::{rules, weigh};
use crate::hostile::{self, Domain, LAYOUTS, Layout};
use crate::tolerance::Tolerance;
use simseg_tensor::{Differentiable, Error, Result, Tensor};

/// An input: values that are the same numbers in f32 and f64, and how they lie in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// How they lie in memory.
    pub layout: Layout,
}

impl Input {
    /// Values of a shape and a number, evenly spread, in a layout that goes with the number.
    pub fn numbered(shape: &[usize], number: usize) -> Self {
        let values = hostile::values(Domain::Any, shape.iter().product(), number as u64);
        let values = values.into_iter().map(|x| x as f32).collect();
        Self { shape: shape.to_vec(), values, layout: LAYOUTS[number % LAYOUTS.len()] }
    }
}

/// Something that every backend can compute.
pub trait Subject {
    /// What it starts from; all of them are differentiated.
    fn inputs(&self) -> Vec<Input>;

    /// Everything worth comparing, by name, in the order of computation; the result comes last. `x` are the inputs.
    ///
    /// # Errors
    /// Whatever the backend says.
    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>>;

    /// One value to differentiate: the weighed result, unless a subject knows better.
    ///
    /// # Errors
    /// Whatever the backend says.
    fn loss<T: Tensor>(&self, x: &[T]) -> Result<T> {
        match self.compute(x)?.last() {
            Some((_, result)) => weigh(result),
            None => Err(Error::setting("subject", "at least one result")),
        }
    }
}

/// A result on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f64>,
}

/// The inputs of a subject on a backend.
///
/// # Errors
/// Whatever the backend says.
pub fn inputs<T: Tensor>(subject: &impl Subject, device: &T::Device) -> Result<Vec<T>> {
    subject.inputs().iter().map(|input| input.layout.make(&input.values, &input.shape, device)).collect()
}

/// Everything a subject computes, on the host.
///
/// # Errors
/// Whatever the backend says.
pub fn values<T: Tensor>(subject: &impl Subject, device: &T::Device) -> Result<Vec<Named>> {
    let named = |(name, x): (String, T)| Ok(Named { name, shape: x.shape().to_vec(), values: x.to_vec()? });
    subject.compute(&inputs::<T>(subject, device)?)?.into_iter().map(named).collect()
}

/// The gradients of a subject's loss for every input, on the host.
///
/// # Errors
/// Whatever the backend says.
pub fn gradients<D: Differentiable>(subject: &impl Subject, device: &D::Device) -> Result<Vec<Vec<f64>>> {
    rules(&inputs::<D>(subject, device)?, |x| subject.loss(x))
}

/// Whether two backends compute the same, result by result.
///
/// # Errors
/// The first result that differs, by name, with the position and both values; or what a backend failed with.
pub fn same_values<A: Tensor, B: Tensor>(
    subject: &impl Subject,
    (a, b): (&A::Device, &B::Device),
    tolerance: Tolerance,
) -> std::result::Result<(), String> {
    let (a, b) = (values::<A>(subject, a).map_err(say)?, values::<B>(subject, b).map_err(say)?);
    for (a, b) in a.iter().zip(&b) {
        if a.name != b.name || a.shape != b.shape {
            return Err(format!("{} {:?} on the one, {} {:?} on the other", a.name, a.shape, b.name, b.shape));
        }
        let found = Difference::between(&b.values, &a.values, &a.shape, tolerance.floor);
        if !tolerance.allows(&found) {
            return Err(format!("{}: {found}, allowed {tolerance}", a.name));
        }
    }
    if a.len() == b.len() { Ok(()) } else { Err(format!("{} results on the one, {} on the other", a.len(), b.len())) }
}

/// Whether two backends, or two engines of one, differentiate alike.
///
/// # Errors
/// The first input whose gradient differs, with the position and both values; or what a backend failed with.
pub fn same_gradients<A: Differentiable, B: Differentiable>(
    subject: &impl Subject,
    (a, b): (&A::Device, &B::Device),
    tolerance: Tolerance,
) -> std::result::Result<(), String> {
    let (a, b) = (gradients::<A>(subject, a).map_err(say)?, gradients::<B>(subject, b).map_err(say)?);
    for (i, ((a, b), input)) in a.iter().zip(&b).zip(subject.inputs()).enumerate() {
        let found = Difference::between(b, a, &input.shape, tolerance.floor);
        if !tolerance.allows(&found) {
            return Err(format!("gradient of input {i}: {found}, allowed {tolerance}"));
        }
    }
    Ok(())
}

fn say(error: Error) -> String {
    error.to_string()
}
