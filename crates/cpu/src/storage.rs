//! Buffers that are used again.
//!
//! A training step allocates the same few hundred large buffers as the step before. Fresh memory from the system costs a
//! page fault per 4 KiB and a pass of zeros; a [`Pool`] hands back buffers of earlier tensors instead. They hold old
//! values, so a kernel must write every element: in debug builds they are filled with NaN first, which makes forgetting
//! one visible in every test.

use crate::Scalar;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers waiting to be used again.
#[derive(Debug)]
pub struct Pool<A> {
    free: Mutex<Free<A>>,
}

#[derive(Debug)]
struct Free<A> {
    by_capacity: BTreeMap<usize, Vec<Vec<A>>>,
    /// Bytes in all of them.
    held: usize,
}

/// Smaller buffers are left to the allocator, which is good at them.
const SMALLEST: usize = 1 << 10;
/// What a pool may hold on to, in bytes.
const LARGEST_TOTAL: usize = 768 << 20;

impl<A: Scalar> Pool<A> {
    /// An empty pool.
    pub const fn new() -> Self {
        Self { free: Mutex::new(Free { by_capacity: BTreeMap::new(), held: 0 }) }
    }

    /// A buffer of `len` values, all of which the caller must write.
    pub fn take(&self, len: usize) -> Vec<A> {
        let found = (len >= SMALLEST).then(|| self.find(len)).flatten();
        let mut buffer = found.unwrap_or_default();
        if cfg!(debug_assertions) {
            buffer.clear();
            buffer.resize(len, A::lit(f64::NAN));
        } else {
            buffer.resize(len, A::default()); // truncates, or grows within the capacity
        }
        buffer
    }

    fn find(&self, len: usize) -> Option<Vec<A>> {
        let mut guard = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let Free { by_capacity, held } = &mut *guard;
        let (&capacity, stack) = by_capacity.range_mut(len..=len + len / 8).next()?;
        let buffer = stack.pop();
        if stack.is_empty() {
            by_capacity.remove(&capacity);
        }
        *held -= capacity * size_of::<A>();
        buffer
    }

    fn give(&self, buffer: Vec<A>) {
        let bytes = buffer.capacity() * size_of::<A>();
        if buffer.capacity() < SMALLEST {
            return;
        }
        let mut guard = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let Free { by_capacity, held } = &mut *guard;
        if *held + bytes <= LARGEST_TOTAL {
            *held += bytes;
            by_capacity.entry(buffer.capacity()).or_default().push(buffer);
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
pub struct Buffer<A: Scalar>(Vec<A>);

impl<A: Scalar> Buffer<A> {
    /// `len` values, all of which the caller must write.
    pub fn unwritten(len: usize) -> Self {
        Self(A::pool().take(len))
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
        Self(values)
    }
}

impl<A: Scalar> Drop for Buffer<A> {
    fn drop(&mut self) {
        A::pool().give(std::mem::take(&mut self.0));
    }
}

impl<A: Scalar> Deref for Buffer<A> {
    type Target = [A];
    fn deref(&self) -> &[A] {
        &self.0
    }
}

impl<A: Scalar> DerefMut for Buffer<A> {
    fn deref_mut(&mut self) -> &mut [A] {
        &mut self.0
    }
}

/// Values behind a tensor: its own, or somebody else's.
#[derive(Clone)]
pub enum Storage<A: Scalar> {
    /// Computed here.
    Owned(Arc<Buffer<A>>),
    /// Such as a memory-mapped file.
    Shared(Arc<dyn AsRef<[A]> + Send + Sync>),
}

impl<A: Scalar> Deref for Storage<A> {
    type Target = [A];
    fn deref(&self) -> &[A] {
        match self {
            Self::Owned(buffer) => buffer,
            Self::Shared(data) => (**data).as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
