//! Functions of one and of two values.
//!
//! Functions that amplify rounding (exponentials, logarithms, roots, quotients by one value) are computed in the type that
//! values are stored in, also in mixed precision; sums, differences, products and quotients of two tensors follow
//! libtorch's type promotion: of two types the wider one.

use crate::tensor::TchTensor;
use simseg_tensor::{Binary, Result, Tensor, Unary, contract};
use tch::Kind;

/// `y[i] = op(x[i])`
pub(crate) fn unary(x: &TchTensor, op: Unary) -> Result<TchTensor> {
    match op {
        Unary::Affine { mul, add } => affine(x, mul, add),
        Unary::Recip => x.like(x.wide()?.f_reciprocal()),
        Unary::Sqrt => x.like(x.wide()?.f_sqrt()),
        Unary::Exp => x.like(x.wide()?.f_exp()),
        Unary::Log => x.like(x.wide()?.f_log()),
        Unary::Tanh => x.like(x.wide()?.f_tanh()),
        Unary::Sigmoid => x.like(x.wide()?.f_sigmoid()),
        Unary::Erf => x.like(x.wide()?.f_erf()),
        Unary::Clamp { low, high } => {
            let (x_wide, limit) = (x.wide()?, largest(x));
            x.like(match (low < -limit, high > limit) {
                (false, false) => x_wide.f_clamp(low, high),
                (false, true) => x_wide.f_clamp_min(low),
                (true, false) => x_wide.f_clamp_max(high),
                (true, true) => Ok(x_wide),
            })
        }
        Unary::Inside { low, high } => {
            let (x_wide, limit) = (x.wide()?, largest(x));
            // NaN is not inside, whatever the bounds.
            let above = x_wide.f_ge(low.max(-limit));
            let inside = above.and_then(|above| above.f_logical_and(&x_wide.f_le(high.min(limit))?));
            x.like(inside.and_then(|inside| inside.f_to_kind(x.device().kind())))
        }
    }
}

/// The largest finite value: libtorch refuses bounds that its type can't hold.
fn largest(x: &TchTensor) -> f64 {
    if x.device().kind() == Kind::Double { f64::MAX } else { f64::from(f32::MAX) }
}

/// `mul·x + add`, without the half that changes nothing.
fn affine(x: &TchTensor, mul: f64, add: f64) -> Result<TchTensor> {
    let scaled = if mul == 1.0 { Ok(x.raw().shallow_clone()) } else { x.raw().f_mul_scalar(mul) };
    x.like(if add == 0.0 { scaled } else { scaled.and_then(|scaled| scaled.f_add_scalar(add)) })
}

/// `y[i] = op(a[i], b[i])`
pub(crate) fn binary(a: &TchTensor, op: Binary, b: &TchTensor) -> Result<TchTensor> {
    contract::equal("binary", a.shape(), b.shape())?;
    a.like(match op {
        Binary::Add => a.raw().f_add(b.raw()),
        Binary::Sub => a.raw().f_sub(b.raw()),
        Binary::Mul => a.raw().f_mul(b.raw()),
        Binary::Div => a.raw().f_div(b.raw()),
    })
}
