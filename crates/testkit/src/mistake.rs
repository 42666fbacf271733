//! Mistakes that people make, to be made on purpose: to show that tests notice them and that the diagnosis names them.
//!
//! A mistake is chosen at run time by [`plant`], for one thread, and not by a type: one backend is compiled and not forty.

use crate::diagnose::Kind;
use std::cell::Cell;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Any kernel, slightly: its result is off by a thousandth (`simseg parity --inject`).
    Nudge(&'static str),
    /// Sums leave out the last value.
    SumMissesTheLast,
    /// `b − a`
    DifferenceSwapped,
    /// `b / a`
    QuotientSwapped,
    /// erf by a tanh: good to three digits.
    ErfByTanh,
    /// Axes move the other way.
    PermuteByTheInverse,
    /// Slices start one late.
    SliceStartsLate,
    /// Parts are joined in reverse order.
    ConcatReversed,
    /// Operands of products keep 10 bits of mantissa.
    Tf32,
    /// Reads one position further.
    GatherOffByOne,
    /// Ranks 2 to k + 1.
    TopkOffByOne,
    /// What lay at the target is lost.
    ScatterOverwrites,
    /// Of repeated rows the mean is added.
    RowsOverwrite,
    /// Normalises the axis before the last.
    SoftmaxOverTheWrongAxis,
    /// `√σ² + ε`
    LayerNormEpsOutsideTheRoot,
    /// Divides by `n − 1`.
    LayerNormUnbiased,
    /// The tanh approximation.
    GeluByTanh,
    /// `q·kᵀ/c`
    AttentionScaledTwice,
    /// A query sees one key too many.
    CausalMaskOffByOne,
    /// Hidden keys are seen.
    PaddingLeaks,
    /// `y ⊙ g`
    SoftmaxGradWithoutMean,
    /// The mean of the gradient is not taken off.
    LayerNormGradWithoutMean,
    /// `dW` is that of the transposed weight.
    LinearGradNotTransposed,
    /// `Φ(x)` alone.
    GeluGradWithoutDensity,
    /// `dq` without `1/√c`.
    AttentionGradWithoutScale,
    /// Every summand gets its share.
    SumGradAveraged,
    /// `db = g`
    DifferenceGradWithoutSign,
    /// `db = −g·a/b`
    QuotientGradWithoutSquare,
    /// `1 − tanh x`
    TanhGradWithoutSquare,
    /// Slope 1 beyond the bounds, too.
    ClampGradEverywhere,
    /// The gradient is permuted the same way again.
    PermuteGradNotInverted,
    /// The mean over copies, for their sum.
    ExpandGradAveraged,
    /// `da = g·b`
    MatmulGradNotTransposed,
}

use Mistake::*;

/// All mistakes but nudges, with the operation and the kind that a diagnosis has to name.
#[rustfmt::skip]
pub const MISTAKES: [(Mistake, &str, Kind); 32] = [
    (SumMissesTheLast, "sum", Kind::Kernel),
    (DifferenceSwapped, "sub", Kind::Kernel),
    (QuotientSwapped, "div", Kind::Kernel),
    (ErfByTanh, "erf", Kind::Kernel),
    (PermuteByTheInverse, "permute", Kind::Kernel),
    (SliceStartsLate, "slice", Kind::Kernel),
    (ConcatReversed, "concat", Kind::Kernel),
    (Tf32, "matmul", Kind::Kernel),
    (GatherOffByOne, "gather", Kind::Kernel),
    (TopkOffByOne, "topk", Kind::Kernel),
    (ScatterOverwrites, "scatter_add", Kind::Kernel),
    (RowsOverwrite, "rows_add", Kind::Kernel),
    (SoftmaxOverTheWrongAxis, "softmax", Kind::Kernel),
    (LayerNormEpsOutsideTheRoot, "layer_norm", Kind::Kernel),
    (LayerNormUnbiased, "layer_norm", Kind::Kernel),
    (GeluByTanh, "gelu", Kind::Kernel),
    (AttentionScaledTwice, "attention", Kind::Kernel),
    (CausalMaskOffByOne, "attention", Kind::Kernel),
    (PaddingLeaks, "attention", Kind::Kernel),
    (SoftmaxGradWithoutMean, "softmax", Kind::Rule),
    (LayerNormGradWithoutMean, "layer_norm", Kind::Rule),
    (LinearGradNotTransposed, "linear", Kind::Rule),
    (GeluGradWithoutDensity, "gelu", Kind::Rule),
    (AttentionGradWithoutScale, "attention", Kind::Rule),
    (SumGradAveraged, "sum", Kind::Rule),
    (DifferenceGradWithoutSign, "sub", Kind::Rule),
    (QuotientGradWithoutSquare, "div", Kind::Rule),
    (TanhGradWithoutSquare, "tanh", Kind::Rule),
    (ClampGradEverywhere, "clamp", Kind::Rule),
    (PermuteGradNotInverted, "permute", Kind::Rule),
    (ExpandGradAveraged, "expand", Kind::Rule),
    (MatmulGradNotTransposed, "matmul", Kind::Rule),
];

/// The operations that [`Mistake::Nudge`] can make wrong.
#[rustfmt::skip]
pub const NUDGES: [&str; 27] = [
    "affine", "recip", "sqrt", "exp", "log", "tanh", "sigmoid", "erf", "clamp", "inside", "add", "sub", "mul", "div", "matmul",
    "sum", "expand", "gather", "scatter_add", "rows", "rows_add", "linear", "softmax", "log_softmax", "layer_norm", "gelu",
    "attention",
];

thread_local! {
    static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Plants a mistake, or none, for all work that this thread asks for.
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.set(mistake);
}

pub(crate) fn planted() -> Option<Mistake> {
    PLANTED.get()
}
