//! Buffers that are used again: an arena for the activations of a network.
//!
//! A training step allocates the same few hundred large buffers as the step before. Fresh memory from the system costs a
//! page fault per 4 KiB and a pass of zeros; a [`Pool`] hands back buffers of earlier tensors instead. They hold old
//! values, so a kernel must write every element: in debug builds they are filled with NaN first, which makes forgetting
//! one visible in every test.

use crate::Scalar;
use crate::product::{Kernel, Prepared};
use ndarray::ArrayView2;
use simseg_tensor::Shared;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Buffers waiting to be used again.
#[derive(Debug)]
pub struct Pool<A> {
    free: Mutex<Free<A>>,
}

/// All sizes in bytes.
#[derive(Debug)]
struct Free<A> {
    /// Capacity → buffers with the time they were given, the latest last.
    by_capacity: BTreeMap<usize, Vec<(u64, Vec<A>)>>,
    /// Counts what was given.
    time: u64,
    /// Waiting.
    held: usize,
    /// In use.
    live: usize,
    /// The most that was ever in use.
    peak: usize,
}

/// Smaller buffers are left to the allocator, which is good at them.
const SMALLEST: usize = 1 << 10;
/// What a pool may hold beyond one and a half times the most that was ever in use. Steps that repeat find every size they need
/// (they do not need all at once, so the most in use alone would be too little); work whose sizes vary, such as prompts of
/// every length, does not pile up buffers that fit nothing.
const SLACK: usize = 32 << 20;
/// What [`crate::arena::bound`] was told last.
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);

/// How much memory the buffers of one type of number take, in bytes. Buffers of less than 1,024 numbers are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Behind tensors that are in use.
    pub in_use: usize,
    /// Waiting to be used again.
    pub waiting: usize,
    /// The most that was ever in use at once.
    pub peak: usize,
}

/// Bounds what buffers may wait to be used again: those in use and those that wait take at most so many bytes together, for each type of number.
/// Buffers in use are never taken away, so a computation that needs more gets it, and leaves nothing waiting. For all tensors of this
/// process; without a bound it is one and a half times the most that was in use, and 32 MiB.
pub fn bound(bytes: usize) {
    BOUND.store(bytes, Ordering::Relaxed);
}

/// The buffers of f32 tensors (`A = f32`) or of f64 tensors.
pub fn usage<A: Scalar>() -> Usage {
    let free = A::pool().locked();
    Usage { in_use: free.live, waiting: free.held, peak: free.peak }
}

impl<A: Scalar> Pool<A> {
    /// An empty pool.
    pub const fn new() -> Self {
        Self { free: Mutex::new(Free { by_capacity: BTreeMap::new(), time: 0, held: 0, live: 0, peak: 0 }) }
    }

    fn locked(&self) -> MutexGuard<'_, Free<A>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `len` values or more, which the caller must write.
    pub fn take(&self, len: usize) -> Vec<A> {
        let mut buffer = if len < SMALLEST { Vec::new() } else { self.locked().find(len) };
        if buffer.len() < len {
            buffer.resize(len, A::default());
        }
        if cfg!(debug_assertions) {
            buffer.fill(A::lit(f64::NAN));
        }
        buffer
    }

    /// Takes note of a buffer that was not taken here but will be given.
    fn adopt(&self, buffer: &Vec<A>) {
        if buffer.capacity() >= SMALLEST {
            self.locked().use_more(buffer.capacity() * size_of::<A>());
        }
    }

    fn give(&self, buffer: Vec<A>) {
        if buffer.capacity() < SMALLEST {
            return;
        }
        let mut free = self.locked();
        let bytes = buffer.capacity() * size_of::<A>();
        free.live = free.live.saturating_sub(bytes);
        free.held += bytes;
        free.time += 1;
        let time = free.time;
        free.by_capacity.entry(buffer.capacity()).or_default().push((time, buffer));
        free.trim();
    }
}

impl<A: Scalar> Free<A> {
    /// A buffer with room for `len` values, one of those that wait if its size is near enough.
    fn find(&mut self, len: usize) -> Vec<A> {
        let near = self.by_capacity.range(len..=len + len / 8).next().map(|(&capacity, _)| capacity);
        let buffer = match near {
            Some(capacity) => self.remove(capacity, Vec::pop),
            None => vec![A::default(); len], // zeros straight from the system, which cost nothing before they are touched
        };
        self.use_more(buffer.capacity() * size_of::<A>());
        buffer
    }

    /// Takes one of the buffers of a capacity.
    fn remove(
        &mut self,
        capacity: usize,
        pick: impl FnOnce(&mut Vec<(u64, Vec<A>)>) -> Option<(u64, Vec<A>)>,
    ) -> Vec<A> {
        let Some(stack) = self.by_capacity.get_mut(&capacity) else { return Vec::new() };
        let buffer = pick(stack).map(|(_, buffer)| buffer).unwrap_or_default();
        if stack.is_empty() {
            self.by_capacity.remove(&capacity);
        }
        self.held -= buffer.capacity() * size_of::<A>();
        buffer
    }

    /// Counts bytes as in use.
    fn use_more(&mut self, bytes: usize) {
        self.live += bytes;
        self.peak = self.peak.max(self.live);
        self.trim();
    }

    /// Lets go of waiting buffers, those that waited longest first, that have become too many.
    fn trim(&mut self) {
        let most = (self.peak + self.peak / 2 + SLACK).min(BOUND.load(Ordering::Relaxed));
        while self.live + self.held > most {
            let oldest = |(&capacity, stack): (&usize, &Vec<(u64, Vec<A>)>)| Some((stack.first()?.0, capacity));
            let Some((_, capacity)) = self.by_capacity.iter().filter_map(oldest).min() else { break };
            self.remove(capacity, |stack| Some(stack.remove(0)));
        }
    }
}

impl<A: Scalar> Default for Pool<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// A buffer that returns to its pool when dropped.
#[derive(Debug)]
pub struct Buffer<A: Scalar> {
    /// Longer ones are not cut: to grow again they would have to be filled again.
    values: Vec<A>,
    len: usize,
}

impl<A: Scalar> Buffer<A> {
    /// `len` values, all of which the caller must write.
    pub fn unwritten(len: usize) -> Self {
        Self { values: A::pool().take(len), len }
    }
    /// `len` copies of a value.
    pub fn filled(value: A, len: usize) -> Self {
        let mut buffer = Self::unwritten(len);
        buffer.fill(value);
        buffer
    }
}

impl<A: Scalar> From<Vec<A>> for Buffer<A> {
    fn from(values: Vec<A>) -> Self {
        A::pool().adopt(&values);
        Self { len: values.len(), values }
    }
}

impl<A: Scalar> Drop for Buffer<A> {
    fn drop(&mut self) {
        A::pool().give(std::mem::take(&mut self.values));
    }
}

impl<A: Scalar> Deref for Buffer<A> {
    type Target = [A];
    fn deref(&self) -> &[A] {
        &self.values[..self.len]
    }
}

impl<A: Scalar> DerefMut for Buffer<A> {
    fn deref_mut(&mut self) -> &mut [A] {
        &mut self.values[..self.len]
    }
}

/// Values behind a tensor: its own, or somebody else's.
#[derive(Clone)]
pub enum Storage<A: Scalar> {
    /// Computed here.
    Owned(Arc<Buffer<A>>),
    /// Such as a memory-mapped file.
    Shared(Arc<Weight<A>>),
}

/// Values that somebody else owns and nobody changes.
pub struct Weight<A: Scalar> {
    values: Arc<dyn Shared<A>>,
    /// The same as a right operand, from the second product with them on.
    prepared: OnceLock<Prepared<A>>,
    /// Whether there was a first.
    used: AtomicBool,
}

impl<A: Scalar> Weight<A> {
    /// Not prepared yet.
    pub(crate) fn new(values: Arc<dyn Shared<A>>) -> Self {
        Self { values, prepared: OnceLock::new(), used: AtomicBool::new(false) }
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> usize {
        self.values.count()
    }

    /// Bytes that they and the copy for products take up together. A file's pages are given back once there is the copy; values of somebody
    /// else stay beside it, and are copied only in fewer bits.
    pub(crate) fn bytes(&self) -> usize {
        match self.values.narrow_bytes() {
            None => self.count() * size_of::<A>(),
            Some(bytes) if self.values.in_file() => bytes,
            Some(bytes) => 2 * bytes,
        }
    }

    /// The matrix of this shape and these strides over all the values as a right operand that was copied once; none if copying would
    /// take memory that the values themselves don't give back, or they were prepared as another matrix. `view` is the matrix itself.
    ///
    /// There is none for the first product either, unless the values are in fewer bits: who segments one picture needs each weight
    /// once, and a product that copies a few panels at a time, always to the same memory, takes less time than memory for all of them.
    pub(crate) fn prepared<'a>(
        &self,
        kernel: &'static Kernel<A>,
        dim: [usize; 2],
        strides: [isize; 2],
        view: impl FnOnce() -> ArrayView2<'a, A>,
    ) -> Option<&Prepared<A>> {
        if self.prepared.get().is_none() {
            let [k, n] = dim;
            if k * n != self.values.count() {
                return None;
            }
            // Not in `get_or_init`: copying uses all threads, one of which may take up another product with this weight meanwhile
            // and would wait for itself. Who comes second throws an equal copy away.
            let _ = match self.values.narrow() {
                // A copy in fewer bits is less than the values as this precision would be; they stay as they are besides, where they
                // are no file's.
                Some(narrow) if strides == [1, k as isize] && narrow.row_len() == k => {
                    self.prepared.set(Prepared::narrow(kernel, &narrow, dim))
                }
                None if self.values.in_file() => {
                    if !self.used.swap(true, Ordering::Relaxed) {
                        return None;
                    }
                    self.prepared.set(Prepared::new(kernel, &view()))
                }
                _ => return None,
            };
            self.values.release();
        }
        self.prepared.get().filter(|prepared| prepared.is_of(dim, strides))
    }

    /// Rows of `d` values that are kept in fewer bits, widened to `out`, one after the other; says whether they are kept so.
    pub(crate) fn read_narrow_rows(&self, rows: &[u32], d: usize, out: &mut [A]) -> bool {
        let mut wide = vec![0.0; d];
        out.chunks_mut(d).zip(rows).all(|(out, &row)| {
            let is_narrow = self.values.read_narrow_row(row as usize, &mut wide);
            if is_narrow {
                out.iter_mut().zip(&wide).for_each(|(y, &x)| *y = A::from_f64(f64::from(x)));
            }
            is_narrow
        })
    }
}

impl<A: Scalar> Deref for Storage<A> {
    type Target = [A];
    fn deref(&self) -> &[A] {
        match self {
            Self::Owned(buffer) => buffer,
            Self::Shared(weight) => (*weight.values).as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_varying_sizes_does_not_pile_up_buffers() {
        let pool = Pool::<f32>::new();
        for i in 0..200 {
            let buffer = pool.take((1 << 20) + i * (1 << 18)); // 4 MiB and more, no two of a size
            pool.give(buffer);
        }
        let free = pool.locked();
        assert_eq!(free.live, 0);
        assert!(free.held <= free.peak * 3 / 2 + SLACK, "{} held, {} at most in use", free.held, free.peak);
        let waiting: usize = free.by_capacity.values().flatten().map(|(_, buffer)| 4 * buffer.capacity()).sum();
        assert_eq!(waiting, free.held);
    }

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let pool: &Pool<f64> = f64::pool();
        let mut buffer = Buffer::<f64>::unwritten(7777);
        buffer.fill(1.0);
        let address = buffer.as_ptr();
        drop(buffer);
        let again = pool.take(7777);
        assert_eq!((again.as_ptr(), again.len()), (address, 7777));
    }
}
