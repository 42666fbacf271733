//! Ranks that are threads of one process.

use super::Ranks;
use crate::failure::Failure;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

/// One of them.
#[derive(Debug, Clone)]
pub struct Threads {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What each rank has put down.
    slots: Mutex<Vec<Vec<u8>>>,
    together: Barrier,
}

impl Threads {
    /// Runs the same on so many ranks; what each returns, in their order.
    ///
    /// # Panics
    /// If one of them panics.
    pub fn run<V: Send>(size: usize, body: impl Fn(&Self) -> V + Sync) -> Vec<V> {
        let shared = Arc::new(Shared { slots: Mutex::new(vec![vec![]; size]), together: Barrier::new(size) });
        std::thread::scope(|scope| {
            let start = |rank| {
                let (own, body) = (Self { rank, shared: shared.clone() }, &body);
                scope.spawn(move || body(&own))
            };
            let all: Vec<_> = (0..size).map(start).collect();
            all.into_iter().map(|thread| thread.join().expect("a rank panicked")).collect()
        })
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.slots().len()
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.shared.slots()[self.rank] = own.to_vec();
        self.shared.together.wait();
        let all = self.shared.slots().clone();
        // Nobody puts down the next before all have read this one.
        self.shared.together.wait();
        all
    }

    fn end(&self, failure: &Failure) -> ! {
        panic!("rank {}: {failure}", self.rank)
    }
}

impl Shared {
    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
