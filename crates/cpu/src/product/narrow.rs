//! A right operand whose panels stay in fewer bits: bf16, f16, or int8 with a scale for each column.
//!
//! The order of values is that of [`super::panel`]. Who multiplies widens a group of panels of one chain first (in the second-level cache),
//! so the kernels are those of f32 and every sum is, to the bit, that of the widened weight. What this saves is memory, and reading it.

use super::Kernel;
use super::panel::{Panels, chain, columns, padded};
use crate::scalar::Scalar;
use simseg_tensor::narrow::{self, Narrow, WeightType};
use simseg_tensor::parallel::prelude::*;
use std::ops::Range;

/// A right operand `[k, n]` in panels of fewer bits.
#[derive(Clone, Copy)]
pub(super) struct NarrowPanels<'a> {
    kind: WeightType,
    bytes: &'a [u8],
    /// `[n]`, padded like a row of panels; none but for int8.
    scales: &'a [f32],
    k: usize,
    n: usize,
}

/// The same with its values.
#[derive(Debug)]
pub(super) struct NarrowCopy {
    kind: WeightType,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    k: usize,
    n: usize,
}

impl NarrowCopy {
    /// Copies a weight `[n, k]` as the right operand `[k, n]`.
    pub(super) fn new<A: Scalar>(kernel: &Kernel<A>, weight: &Narrow, [k, n]: [usize; 2]) -> Self {
        let kind = weight.kind();
        let mut bytes = vec![0; k * padded(kernel, n) * kind.size()];
        let (mut rest, mut pieces) = (&mut bytes[..], vec![]);
        for start in (0..k).step_by(chain(k)) {
            let steps = start..k.min(start + chain(k));
            for panel in 0..n.div_ceil(kernel.width()) {
                let (here, computed) = columns(kernel, n, panel);
                let copy = rest.split_off_mut(..steps.len() * computed * kind.size()).expect("as many as allocated");
                pieces.push((steps.clone(), here, computed, copy));
            }
        }
        pieces.into_par_iter().for_each(|(steps, here, computed, copy)| match kind.size() {
            1 => turn::<1>(weight.bytes(), k, steps, here, computed, copy),
            _ => turn::<2>(weight.bytes(), k, steps, here, computed, copy),
        });
        let mut scales = weight.scales().to_vec();
        if kind == WeightType::Int8 {
            scales.resize(padded(kernel, n), 0.0);
        }
        Self { kind, bytes, scales, k, n }
    }

    pub(super) fn panels(&self) -> NarrowPanels<'_> {
        NarrowPanels { kind: self.kind, bytes: &self.bytes, scales: &self.scales, k: self.k, n: self.n }
    }
}

/// `copy[p, j] = weight[columns[j], steps[p]]`, of `S` bytes a value; a line of the copy has `computed` values.
fn turn<const S: usize>(
    weight: &[u8],
    k: usize,
    steps: Range<usize>,
    columns: Range<usize>,
    computed: usize,
    copy: &mut [u8],
) {
    let (weight, copy) = (weight.as_chunks::<S>().0, copy.as_chunks_mut::<S>().0);
    for (j, row) in columns.enumerate() {
        let row = &weight[row * k..][steps.clone()];
        copy[j..].iter_mut().step_by(computed).zip(row).for_each(|(y, x)| *y = *x);
    }
}

impl NarrowPanels<'_> {
    /// `[k, n]`
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// The panels of some columns of one chain as `copy` has them then: `[steps, columns]`, a chain of its own. The columns start with
    /// a panel.
    pub(super) fn widen<'b, A: Scalar>(
        &self,
        kernel: &Kernel<A>,
        steps: &Range<usize>,
        of: Range<usize>,
        copy: &'b mut [A],
    ) -> Panels<'b, A> {
        let start = steps.start * padded(kernel, self.n);
        let (mut written, size) = (0, self.kind.size());
        for panel in of.start / kernel.width()..of.end.div_ceil(kernel.width()) {
            let (here, computed) = columns(kernel, self.n, panel);
            let len = steps.len() * computed;
            let bytes = &self.bytes[(start + steps.len() * here.start) * size..][..len * size];
            let scales = if self.scales.is_empty() { &[] } else { &self.scales[here.start..][..computed] };
            let out = &mut copy[written..written + len];
            crate::simd::wide(
                #[inline(always)]
                || narrow::widen(self.kind, bytes, scales, out, |x| A::from_f64(f64::from(x))),
            );
            written += len;
        }
        Panels::of(copy, [steps.len(), of.len()])
    }
}
