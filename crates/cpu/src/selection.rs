//! Selection: top-k, gather and scatter along an axis, rows of a table; and `concat`, which copies in the same pattern.
//!
//! Everything sees a tensor as `[outer, n, inner]` around its axis and works through `outer` in parallel.

use crate::scalar::Scalar;
use crate::storage::Buffer;
use crate::tensor::{CpuIndex, CpuTensor};
use crate::walk::GRAIN;
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{Result, Tensor, contract};
use std::sync::Arc;

/// Joins along an axis.
pub(crate) fn concat<A: Scalar>(parts: &[&CpuTensor<A>], axis: usize) -> Result<CpuTensor<A>> {
    let shape = contract::concat(parts.iter().map(|part| part.shape()), axis)?;
    let [outer, n, inner] = CpuTensor::<A>::around(&shape, axis);
    let flat: Vec<CpuTensor<A>> = parts.iter().map(|part| part.contiguous()).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.shape()[axis] * inner).collect();
    Ok(CpuTensor::build(&shape, |out| {
        if out.is_empty() {
            return;
        }
        let items = (GRAIN / (n * inner)).max(1);
        out.par_chunks_mut(items * n * inner).enumerate().for_each(|(block, out)| {
            for (i, out) in out.chunks_mut(n * inner).enumerate() {
                let item = block * items + i;
                debug_assert!(item < outer);
                let mut start = 0;
                for (part, &len) in flat.iter().zip(&lengths) {
                    out[start..start + len].copy_from_slice(&part.values()[item * len..(item + 1) * len]);
                    start += len;
                }
            }
        });
    }))
}

/// Whether `a` ranks before `b`: larger first, NaN largest of all (as in libtorch). Equal values: neither.
fn before<A: Scalar>(a: A, b: A) -> bool {
    a > b || (a.nan() && !b.nan())
}

/// Positions of the `k` largest values along an axis, largest first, the lowest position first on a tie.
pub(crate) fn topk<A: Scalar>(x: &CpuTensor<A>, k: usize, axis: usize) -> Result<CpuIndex> {
    let shape = contract::topk(x.shape(), k, axis)?;
    let [outer, n, inner] = CpuTensor::<A>::around(x.shape(), axis);
    let x = x.contiguous();
    let values = x.values();
    let mut positions = vec![0u32; outer * k * inner];
    if !positions.is_empty() {
        positions
            .par_chunks_mut(k * inner)
            .zip(values.par_chunks(n * inner))
            .for_each(|(out, x)| if k <= 16 { few(x, n, inner, k, out) } else { many(x, n, inner, k, out) });
    }
    Ok(CpuIndex { positions: positions.into(), shape })
}

/// Keeps the best `k` of each column in order while reading the tokens once: O(n·k), fast for small `k`.
fn few<A: Scalar>(x: &[A], n: usize, inner: usize, k: usize, out: &mut [u32]) {
    for c in 0..inner {
        let mut best = [(A::default(), 0u32); 16];
        let mut held = 0;
        for j in 0..n {
            let value = x[j * inner + c];
            if held == k && !before(value, best[k - 1].0) {
                continue;
            }
            let mut at = held.min(k - 1);
            while at > 0 && before(value, best[at - 1].0) {
                best[at] = best[at - 1];
                at -= 1;
            }
            best[at] = (value, j as u32);
            held = (held + 1).min(k);
        }
        for (j, &(_, position)) in best[..k].iter().enumerate() {
            out[j * inner + c] = position;
        }
    }
}

/// Sorts each column: O(n·log n), for large `k`.
fn many<A: Scalar>(x: &[A], n: usize, inner: usize, k: usize, out: &mut [u32]) {
    let mut order: Vec<u32> = Vec::with_capacity(n);
    for c in 0..inner {
        order.clear();
        order.extend(0..n as u32);
        let value = |j: u32| x[j as usize * inner + c];
        // A stable sort keeps the lowest position first among equals.
        order.sort_by(|&i, &j| before(value(j), value(i)).cmp(&before(value(i), value(j))));
        for (j, &position) in order[..k].iter().enumerate() {
            out[j * inner + c] = position;
        }
    }
}

/// Checks an index against a tensor for `gather` and `scatter_add`; returns its length along the axis.
fn check<A: Scalar>(op: &'static str, x: &CpuTensor<A>, axis: usize, index: &CpuIndex) -> Result<usize> {
    check_bound(op, index, contract::selects(op, x.shape(), axis, &index.shape)?)?;
    Ok(index.shape[axis])
}

fn check_bound(op: &'static str, index: &CpuIndex, bound: usize) -> Result<()> {
    contract::below(op, index.positions.iter().copied().max().map(|largest| largest as usize), bound)
}

/// `y[…, j, …] = x[…, index[…, j, …], …]`
pub(crate) fn gather<A: Scalar>(x: &CpuTensor<A>, axis: usize, index: &CpuIndex) -> Result<CpuTensor<A>> {
    let k = check("gather", x, axis, index)?;
    let x = x.contiguous();
    let [_, n, inner] = CpuTensor::<A>::around(x.shape(), axis);
    Ok(CpuTensor::build(&index.shape, |out| {
        if out.is_empty() {
            return;
        }
        out.par_chunks_mut(k * inner)
            .zip(index.positions.par_chunks(k * inner))
            .zip(x.values().par_chunks(n * inner))
            .for_each(|((out, index), x)| {
                for (i, (y, &position)) in out.iter_mut().zip(index).enumerate() {
                    *y = x[position as usize * inner + i % inner];
                }
            });
    }))
}

/// A copy of `x` with `src` added at the positions of `index`, in order.
pub(crate) fn scatter_add<A: Scalar>(
    x: &CpuTensor<A>,
    axis: usize,
    index: &CpuIndex,
    src: &CpuTensor<A>,
) -> Result<CpuTensor<A>> {
    let k = check("scatter_add", x, axis, index)?;
    contract::scatters(src.shape(), &index.shape)?;
    let (x, src) = (x.contiguous(), src.contiguous());
    let [_, n, inner] = CpuTensor::<A>::around(x.shape(), axis);
    Ok(CpuTensor::build(x.shape(), |out| {
        out.copy_from_slice(x.values());
        if out.is_empty() || k == 0 {
            return;
        }
        out.par_chunks_mut(n * inner)
            .zip(index.positions.par_chunks(k * inner))
            .zip(src.values().par_chunks(k * inner))
            .for_each(|((out, index), src)| {
                for (i, (&value, &position)) in src.iter().zip(index).enumerate() {
                    out[position as usize * inner + i % inner] += value;
                }
            });
    }))
}

fn table<A: Scalar>(op: &'static str, x: &CpuTensor<A>, index: &CpuIndex) -> Result<[usize; 2]> {
    let [v, d] = contract::table(op, x.shape(), &index.shape)?;
    check_bound(op, index, v)?;
    Ok([v, d])
}

/// `[v, d]` and an index `[…]` → `[…, d]`
pub(crate) fn rows<A: Scalar>(x: &CpuTensor<A>, index: &CpuIndex) -> Result<CpuTensor<A>> {
    let [_, d] = table("rows", x, index)?;
    let x = x.contiguous();
    let shape = [&index.shape[..], &[d]].concat();
    Ok(CpuTensor::build(&shape, |out| {
        if d == 0 || x.read_narrow_rows(&index.positions, out) {
            return;
        }
        for (out, &position) in out.chunks_mut(d).zip(index.positions.iter()) {
            out.copy_from_slice(&x.values()[position as usize * d..][..d]);
        }
    }))
}

/// A copy of `x` `[v, d]` with the rows of `src` `[…, d]` added at `index`, in order.
pub(crate) fn rows_add<A: Scalar>(x: &CpuTensor<A>, index: &CpuIndex, src: &CpuTensor<A>) -> Result<CpuTensor<A>> {
    let [_, d] = table("rows_add", x, index)?;
    contract::rows(src.shape(), &index.shape, d)?;
    let (x, src) = (x.contiguous(), src.contiguous());
    let mut out = Buffer::unwritten(x.numel());
    out.copy_from_slice(x.values());
    if d > 0 {
        for (src, &position) in src.values().chunks(d).zip(index.positions.iter()) {
            let row = &mut out[position as usize * d..][..d];
            row.iter_mut().zip(src).for_each(|(sum, &x)| *sum += x);
        }
    }
    Ok(CpuTensor::owned(out, x.shape()))
}

impl CpuIndex {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Its positions, row-major.
    pub fn positions(&self) -> &Arc<[u32]> {
        &self.positions
    }
}
