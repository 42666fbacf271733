//! Processes that train one model together, each on its share of every batch (data parallel): who they are, and what they tell each other.
//!
//! ```text
//!            rank 0: pairs 0 … b/n−1          rank 1: pairs b/n … 2b/n−1          …
//! encode     own embeddings [b/n, e]          own embeddings [b/n, e]
//! gather     ───────────────── all embeddings [b, e] on every rank ─────────────────
//! contrast   own images against all captions [b/n, b], own captions against all images: the share of the loss
//! sum        ∂L/∂e of all embeddings over ranks; each keeps its own rows, and goes back through its towers
//! sum        gradients of the parameters over ranks, in buckets; every rank takes the same optimiser step
//! ```
//!
//! What a rank holds grows with the batch, not with its square. [`Ranks`] is what they need of each other: `mpi` asks MPI (feature `mpi`),
//! [`threads`] has ranks that are threads of one process, to test and to read.

pub mod threads;
#[cfg(feature = "mpi")]
mod mpi;
mod start;

pub use start::{ended, here};

use crate::failure::Failure;
use simseg_tensor::{Element, Ops, Result, Tensor};

/// A process group. All ranks call the same methods in the same order; a message that cannot be delivered ends all of them.
pub trait Ranks: Send + Sync {
    /// Which one this is, from 0; rank 0 speaks and writes for all.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What every rank has, in the order of ranks; lengths may differ.
    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>>;

    /// Sums element by element over ranks; all get the same bits.
    fn sum_f32(&self, values: &mut [f32]) {
        summed(self, values);
    }

    /// The same in double precision.
    fn sum_f64(&self, values: &mut [f64]) {
        summed(self, values);
    }

    /// Ends all ranks, after a line that says why.
    fn end(&self, failure: &Failure) -> !;

    /// What rank 0 says; the others' `text` is not looked at.
    fn broadcast(&self, text: &str) -> String {
        let own = if self.rank() == 0 { text.as_bytes() } else { &[] };
        String::from_utf8_lossy(&self.gather(own)[0]).into_owned()
    }

    /// Waits until every rank has come here.
    fn wait(&self) {
        self.gather(&[]);
    }
}

/// A sum by gathering: in the order of ranks.
fn summed<R: Ranks + ?Sized, E: Element>(ranks: &R, values: &mut [E]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_f64().to_le_bytes()).collect();
    let all = ranks.gather(&bytes);
    let of = |bytes: &[u8]| E::from_f64(f64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    for (i, value) in values.iter_mut().enumerate() {
        let each = all.iter().map(|bytes| of(&bytes[8 * i..8 * (i + 1)]).to_f64());
        *value = each.fold(E::default(), |sum, next| E::from_f64(sum.to_f64() + next));
    }
}

/// Bytes in a message when many tensors are summed: as PyTorch's DistributedDataParallel has it, long enough for latency not to count.
const BUCKET: usize = 25 << 20;

/// Sums tensors over ranks; their shapes are the same everywhere.
///
/// # Errors
/// If the backend fails.
pub fn sum<T: Tensor>(ranks: &dyn Ranks, tensors: &mut [T]) -> Result<()> {
    match tensors.first().map(is_double).transpose()? {
        None => Ok(()),
        Some(true) => in_buckets(tensors, |values: &mut [f64]| ranks.sum_f64(values)),
        Some(false) => in_buckets(tensors, |values: &mut [f32]| ranks.sum_f32(values)),
    }
}

fn in_buckets<T: Tensor, E: Element>(tensors: &mut [T], sum: impl Fn(&mut [E])) -> Result<()> {
    let most = BUCKET / size_of::<E>();
    let mut rest = tensors;
    while !rest.is_empty() {
        let (mut values, mut taken) = (rest[0].to_vec::<E>()?, 1);
        while let Some(next) = rest.get(taken).filter(|next| values.len() + length(*next) <= most) {
            values.extend(next.to_vec::<E>()?);
            taken += 1;
        }
        sum(&mut values);
        let (bucket, others) = rest.split_at_mut(taken);
        let mut values = &values[..];
        for tensor in bucket {
            let (own, after) = values.split_at(length(tensor));
            *tensor = T::from_host(own, tensor.shape(), &tensor.device())?;
            values = after;
        }
        rest = others;
    }
    Ok(())
}

fn length<T: Tensor>(tensor: &T) -> usize {
    tensor.shape().iter().product()
}

/// Rows of all ranks, one below the other: `[p, e]` of each → `[n·p, e]`.
///
/// # Errors
/// If the backend fails.
pub fn rows<T: Tensor>(ranks: &dyn Ranks, own: &T) -> Result<T> {
    let [p, e] = own.dims()?;
    let shape = [ranks.size() * p, e];
    if is_double(own)? {
        let bytes: Vec<u8> = own.to_vec::<f64>()?.iter().flat_map(|value| value.to_le_bytes()).collect();
        let all = ranks.gather(&bytes).concat();
        let all = all.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        return T::from_host(&all.collect::<Vec<f64>>(), &shape, &own.device());
    }
    let bytes: Vec<u8> = own.to_f32()?.iter().flat_map(|value| value.to_le_bytes()).collect();
    let all = ranks.gather(&bytes).concat();
    let all = all.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default()));
    T::from_host(&all.collect::<Vec<f32>>(), &shape, &own.device())
}

/// Whether a tensor's numbers are f64: what f32 and less round away is still there.
fn is_double<T: Tensor>(like: &T) -> Result<bool> {
    Ok(T::full(1.0 + f64::from(f32::EPSILON) / 8.0, &[], &like.device())?.item()? != 1.0)
}

/// The pairs of a batch that are a rank's own.
pub fn own(ranks: &dyn Ranks, batch: usize) -> std::ops::Range<usize> {
    let share = batch / ranks.size();
    ranks.rank() * share..(ranks.rank() + 1) * share
}

#[cfg(test)]
mod tests {
    use super::threads::Threads;
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    fn tensors<E: simseg_cpu::Scalar>(rank: usize) -> Vec<CpuTensor<E>> {
        let one = |values: &[f64], shape: &[usize]| CpuTensor::from_host(values, shape, &CpuDevice).unwrap();
        let r = rank as f64;
        vec![
            one(&[r, 1.0, 0.1], &[3]),
            one(&[10.0 * r], &[]),
            one(&vec![r; 1 << 23], &[1 << 11, 1 << 12]),
            one(&[0.5], &[1, 1]),
        ]
    }

    fn sums<E: simseg_cpu::Scalar>() {
        let results = Threads::run(3, |ranks| {
            let mut own = tensors::<E>(ranks.rank());
            sum(ranks, &mut own).unwrap();
            own.iter().map(|tensor| tensor.to_vec::<f64>().unwrap()).collect::<Vec<_>>()
        });
        let tenth = E::from_f64(0.1).to_f64();
        for found in results {
            let near = (found[0][2] - 3.0 * tenth).abs() < 1e-7;
            assert!(found[0][..2] == [3.0, 3.0] && near, "{:?}", found[0]);
            assert!(found[1] == [30.0] && found[3] == [1.5] && found[2].len() == 1 << 23);
            assert!(found[2].iter().all(|value| *value == 3.0));
        }
    }

    #[test]
    fn tensors_are_summed_in_buckets_in_either_precision() {
        sums::<f32>();
        sums::<f64>();
    }

    #[test]
    fn rows_of_all_ranks_stand_in_their_order_to_the_bit() {
        let third = 1.0 / 3.0;
        let results = Threads::run(2, |ranks| {
            let own = CpuTensor::<f64>::from_host(&[ranks.rank() as f64, third], &[1, 2], &CpuDevice).unwrap();
            (
                rows(ranks, &own).unwrap().to_vec::<f64>().unwrap(),
                own_of(ranks),
                ranks.broadcast(&format!("rank {}", ranks.rank())),
            )
        });
        for (rank, (rows, own, said)) in results.into_iter().enumerate() {
            assert_eq!(rows, [0.0, third, 1.0, third]);
            assert_eq!((own, said.as_str()), (5 * rank..5 * (rank + 1), "rank 0"));
        }
    }

    fn own_of(ranks: &dyn Ranks) -> std::ops::Range<usize> {
        own(ranks, 10)
    }
}
