//! Two backends differ. Which operation is to blame, and what is wrong with it: a kernel, a derivative rule, a formula?
//!
//! Three legs tell (`R` the reference backend, `O` the other one):
//!
//! | leg | differs | so this is wrong |
//! |---|---|---|
//! | values | `R` ≠ `O` | a **kernel**: of the one that differs from PyTorch |
//! | values | `R` = `O` ≠ PyTorch | the **formula** that both compute |
//! | gradients | `Autodiff<R>` ≠ `Autodiff<O>` | a **derivative rule** of one backend: the adjoint of one of its hooks |
//! | gradients | `Autodiff<O>` ≠ `O`'s own | a **derivative rule**: of the table if PyTorch says so too, else of `O`'s engine |
//!
//! Values come first, for all subjects, then gradients: derivatives are computed by kernels, so a wrong kernel spoils gradients of
//! operations that are not to blame.

use crate::difference::Difference;
use crate::golden::Golden;
use crate::subject;
use crate::tolerance::Tolerance;
use simseg_tensor::{Autodiff, Differentiable, Result, Tensor};
use std::any::TypeId;
use std::fmt;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How one backend computes the operation.
    Kernel,
    /// How the operation is differentiated.
    Rule,
    /// What both backends compute.
    Formula,
}

/// FaultIn fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultIn {
    /// The reference backend's.
    Reference,
    /// The other backend's.
    Other,
    /// The other backend's own engine of gradients.
    Engine,
    /// Text that both share.
    Shared,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The operation to blame.
    pub operation: String,
    /// What is wrong with it.
    pub kind: Kind,
    /// FaultIn fault it is.
    pub fault_in: FaultIn,
    /// The largest difference that shows it, against PyTorch.
    pub difference: Difference,
}

/// One comparison of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Leg {
    /// Reference against other backend.
    pub difference: Difference,
    /// What is wrong, if anything is.
    pub finding: Option<Finding>,
}

/// The values of an operation on both backends and in PyTorch.
///
/// # Errors
/// Whatever a backend says.
pub fn values<R: Tensor, O: Tensor>(
    golden: &Golden,
    (reference, other): (&R::Device, &O::Device),
    tolerance: Tolerance,
) -> Result<Leg> {
    let values = |named: Vec<subject::Named>| named.into_iter().next().map(|named| named.values).unwrap_or_default();
    let r = values(subject::values::<R>(golden, reference)?);
    let o = values(subject::values::<O>(golden, other)?);
    let apart = |a: &[f64], b: &[f64]| Difference::between(a, b, &golden.shape, tolerance.floor);
    let (between, r_off, o_off) = (apart(&o, &r), apart(&r, &golden.values), apart(&o, &golden.values));
    let found =
        |kind, fault_in, difference| Some(Finding { operation: golden.operation.clone(), kind, fault_in, difference });
    let finding = match (tolerance.allows(&between), tolerance.allows(&r_off)) {
        (true, true) => None,
        (true, false) => found(Kind::Formula, FaultIn::Shared, r_off),
        (false, true) => found(Kind::Kernel, FaultIn::Other, o_off),
        (false, false) => found(Kind::Kernel, FaultIn::Reference, r_off),
    };
    Ok(Leg { difference: between, finding })
}

/// The gradients of an operation on all legs, one [`Leg`] for every input. `R` and `O` are differentiated by the table, `N` is the
/// other backend with its own gradients; if it has none, `N` is `O`.
///
/// # Errors
/// Whatever a backend says.
pub fn gradients<R: Differentiable, O: Differentiable, N: Differentiable>(
    golden: &Golden,
    (reference, other, native): (&R::Device, &O::Device, &N::Device),
    tolerance: Tolerance,
) -> Result<Vec<Leg>> {
    let r = subject::gradients::<R>(golden, reference)?;
    let o = subject::gradients::<O>(golden, other)?;
    let n = subject::gradients::<N>(golden, native)?;
    let own_engine = TypeId::of::<N>() != TypeId::of::<O>();
    let leg = |i: usize| {
        let shape = &golden.inputs[i].shape;
        let apart = |a: &[f64], b: &[f64]| Difference::between(a, b, shape, tolerance.floor);
        let torch = &golden.gradients[i];
        let (between, engine) = (apart(&o[i], &r[i]), apart(&o[i], &n[i]));
        let (r_off, o_off, n_off) = (apart(&r[i], torch), apart(&o[i], torch), apart(&n[i], torch));
        let allows = |difference: &Difference| tolerance.allows(difference);
        let found = |kind, fault_in, difference: &Difference| {
            let difference = difference.clone();
            Some(Finding { operation: golden.operation.clone(), kind, fault_in, difference })
        };
        let finding = if !allows(&between) {
            if allows(&r_off) {
                found(Kind::Rule, FaultIn::Other, &o_off)
            } else {
                found(Kind::Rule, FaultIn::Reference, &r_off)
            }
        } else if own_engine && !allows(&engine) {
            if allows(&o_off) {
                found(Kind::Rule, FaultIn::Engine, &n_off)
            } else {
                found(Kind::Rule, FaultIn::Shared, &o_off)
            }
        } else if !allows(&o_off) {
            // All agree but PyTorch. An engine of its own would have noticed a wrong rule.
            let kind = if own_engine { Kind::Formula } else { Kind::Rule };
            found(kind, FaultIn::Shared, &o_off)
        } else {
            None
        };
        Leg { difference: between, finding }
    };
    Ok((0..golden.inputs.len()).map(leg).collect())
}

/// The first operation that is to blame, if any is: `T` is differentiated by the table, and `N` is the other backend with its own
/// gradients (`Autodiff<O>` if it has none).
///
/// # Errors
/// Whatever a backend says.
pub fn blame<R: Tensor, O: Tensor, N: Differentiable>(
    goldens: &[Golden],
    places: (&R::Device, &O::Device, &N::Device),
    tolerance: Tolerance,
) -> Result<Option<Finding>> {
    blame_with::<Autodiff<R>, Autodiff<O>, N>(goldens, places, tolerance)
}

/// The same, with the table's derivatives of both backends given: a test can plant a wrong rule in both.
///
/// # Errors
/// Whatever a backend says.
pub fn blame_with<R: Differentiable, O: Differentiable, N: Differentiable>(
    goldens: &[Golden],
    (reference, other, native): (&R::Device, &O::Device, &N::Device),
    tolerance: Tolerance,
) -> Result<Option<Finding>> {
    for golden in goldens {
        if let Some(finding) = values::<R, O>(golden, (reference, other), tolerance)?.finding {
            return Ok(Some(finding));
        }
    }
    for golden in goldens {
        let legs = gradients::<R, O, N>(golden, (reference, other, native), tolerance)?;
        if let Some(finding) = legs.into_iter().find_map(|leg| leg.finding) {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, difference, .. } = self;
        match (self.kind, self.fault_in) {
            (Kind::Kernel, FaultIn::Reference) => write!(f, "the reference's kernel of `{operation}` is wrong")?,
            (Kind::Kernel, _) => write!(f, "the other backend's kernel of `{operation}` is wrong")?,
            (Kind::Rule, FaultIn::Reference) => write!(f, "the reference's derivative of `{operation}` is wrong")?,
            (Kind::Rule, FaultIn::Other) => write!(f, "the other backend's derivative of `{operation}` is wrong")?,
            (Kind::Rule, FaultIn::Engine) => {
                write!(f, "the derivative of `{operation}` by the other backend's own engine is wrong")?;
            }
            (Kind::Rule, FaultIn::Shared) => write!(f, "the rule for the derivative of `{operation}` is wrong")?,
            (Kind::Formula, _) => {
                write!(f, "the formula of `{operation}` is wrong, the backends agree on it")?;
            }
        }
        write!(f, ": {:?} is {}, PyTorch has {}", difference.at, difference.got, difference.want)
    }
}
