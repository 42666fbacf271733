//! Which ranks there are when a command starts.

use super::Ranks;
use crate::failure::{Failure, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Set to the number of ranks by what starts them: Open MPI, MPICH and Intel MPI, MVAPICH, Slurm's `srun`.
const SIZES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"];

/// The ranks that this process is one of; none where it was started alone.
///
/// # Errors
/// If it was started as one of several, by a build without MPI.
pub fn here() -> Outcome<Option<Arc<dyn Ranks>>> {
    let size = SIZES.iter().find_map(|name| std::env::var(name).ok()?.parse::<usize>().ok());
    if size.is_none_or(|size| size < 2) {
        return Ok(None);
    }
    #[cfg(feature = "mpi")]
    {
        let (ranks, started) = (super::mpi::Mpi::start()?, size.unwrap_or(1));
        if ranks.size() != started {
            let text = format!(
                "of {started} processes {} found each other: the launcher belongs to another MPI",
                ranks.size()
            );
            return Err(Failure::Machine(format!("MPI: {text}")));
        }
        if ranks.rank() > 0 {
            crate::output::silence();
        }
        Ok(Some(Arc::new(ranks)))
    }
    #[cfg(not(feature = "mpi"))]
    Err(Failure::input(
        "mpirun",
        "this build cannot train over MPI; expected one with the feature `mpi` (`cargo xtask mpi` makes it)",
    ))
}

/// What one rank finds wrong, rank 0 has most likely found, too: it is given so long to say it for all.
const PATIENCE: Duration = Duration::from_secs(2);

/// The end of what ranks did together: a failure that only one knows of ends all.
///
/// # Errors
/// That of a process alone, or a check that does not hold once the others have been let go.
pub fn ended(outcome: Outcome, others: &Option<Arc<dyn Ranks>>) -> Outcome {
    match (others, outcome) {
        (Some(ranks), Err(Failure::Diverged(_))) if ranks.rank() > 0 => {
            ranks.wait(); // for rank 0, which says it and ends all
            Ok(())
        }
        (Some(ranks), Err(failure @ (Failure::Input(_) | Failure::Machine(_)))) => {
            if ranks.rank() > 0 {
                std::thread::sleep(PATIENCE);
            }
            ranks.end(&failure)
        }
        (_, outcome) => outcome,
    }
}
