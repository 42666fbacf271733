//! Ranks that are processes of an MPI job.

use super::Ranks;
use crate::failure::{Failure, Outcome};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

/// One process of the job. MPI ends with it.
pub struct Mpi {
    rank: usize,
    size: usize,
    /// Dropped last: MPI must not be asked any more then.
    _universe: Universe,
}

/// Bytes that are gathered at once at most: MPI counts in 32 bits.
const PIECE: usize = 1 << 24;

impl Mpi {
    /// Starts MPI.
    pub(super) fn start() -> Outcome<Self> {
        // Threads compute; one at a time talks.
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Serialized) else {
            return Err(Failure::Machine("MPI: was started already".into()));
        };
        if threading < Threading::Serialized {
            return Err(Failure::Machine("MPI: expected one that allows for threads (MPI_THREAD_SERIALIZED)".into()));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(Self { rank, size, _universe: universe })
    }
}

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let mut lengths = vec![0u64; self.size];
        world().all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let mut all: Vec<Vec<u8>> = lengths.iter().map(|length| Vec::with_capacity(*length as usize)).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        // A checkpoint can be longer than MPI counts: piece by piece.
        for start in (0..longest).step_by(PIECE) {
            let part = |length: usize| length.saturating_sub(start).min(PIECE);
            let counts: Vec<i32> = lengths.iter().map(|length| part(*length as usize) as i32).collect();
            let places: Vec<i32> =
                counts.iter().scan(0, |at, count| Some(std::mem::replace(at, *at + count))).collect();
            let mut received = vec![0u8; counts.iter().map(|count| *count as usize).sum()];
            let mine = &own[start.min(own.len())..start.min(own.len()) + part(own.len())];
            world().all_gather_varcount_into(mine, &mut PartitionMut::new(&mut received[..], &counts[..], &places[..]));
            for ((to, count), place) in all.iter_mut().zip(&counts).zip(&places) {
                to.extend_from_slice(&received[*place as usize..(place + count) as usize]);
            }
        }
        all
    }

    fn sum_f32(&self, values: &mut [f32]) {
        let own = values.to_vec();
        world().all_reduce_into(&own[..], values, SystemOperation::sum());
    }

    fn sum_f64(&self, values: &mut [f64]) {
        let own = values.to_vec();
        world().all_reduce_into(&own[..], values, SystemOperation::sum());
    }

    fn end(&self, failure: &Failure) -> ! {
        crate::output::error(format_args!("simseg: rank {} of {}: {failure}", self.rank, self.size));
        world().abort(failure.code().into())
    }
}
