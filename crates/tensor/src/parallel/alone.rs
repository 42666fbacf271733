//! What this workspace uses of rayon, on one thread.

/// How many threads there are.
pub fn current_num_threads() -> usize {
    1
}

/// One after the other.
pub fn join<A, B>(first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
    (first(), second())
}

/// Rayon's adapters as those of the standard library.
pub mod prelude {
    use core::slice::{Chunks, ChunksMut, Iter, IterMut};

    /// Whatever can be walked through.
    pub trait IntoParallelIterator: IntoIterator + Sized {
        /// An ordinary iterator.
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> IntoParallelIterator for I {}

    /// Slices that are read.
    pub trait ParallelSlice<T> {
        /// One item after the other.
        fn par_iter(&self) -> Iter<'_, T>;
        /// So many at a time.
        fn par_chunks(&self, length: usize) -> Chunks<'_, T>;
    }

    /// Slices that are written.
    pub trait ParallelSliceMut<T> {
        /// One item after the other.
        fn par_iter_mut(&mut self) -> IterMut<'_, T>;
        /// So many at a time.
        fn par_chunks_mut(&mut self, length: usize) -> ChunksMut<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_iter(&self) -> Iter<'_, T> {
            self.iter()
        }

        fn par_chunks(&self, length: usize) -> Chunks<'_, T> {
            self.chunks(length)
        }
    }

    impl<T> ParallelSliceMut<T> for [T] {
        fn par_iter_mut(&mut self) -> IterMut<'_, T> {
            self.iter_mut()
        }

        fn par_chunks_mut(&mut self, length: usize) -> ChunksMut<'_, T> {
            self.chunks_mut(length)
        }
    }

    /// What rayon's iterators can do beyond the usual.
    pub trait IndexedParallelIterator: Iterator + Sized {
        /// Pieces of work of at least this length: there is one anyway.
        #[must_use]
        fn with_min_len(self, _: usize) -> Self {
            self
        }
    }

    impl<I: Iterator> IndexedParallelIterator for I {}
}
