#!/bin/bash
# One training on several nodes: ranks share every batch. Needs a `simseg` with MPI (`cargo xtask mpi`) built against the cluster's own.
#
#   sbatch --nodes=4 experiments/cluster/slurm-mpi.sh experiments/pretrain/vit-s.toml --set …
#
# One rank a node, each with all of its cores. What follows the file is passed on to `simseg run`. All ranks read the experiment and the
# data under the same names, and see the output folder. A job that is started again goes on from the last checkpoint, with as many ranks as
# it has then. docs/cluster.md says what it costs.
#SBATCH --job-name=simseg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

file=${1:?an experiment file, such as experiments/pretrain/vit-s.toml}
shift
out=${SIMSEG_OUT:-runs/$(basename "$file" .toml)}

# Word by word: the launcher has options of its own.
read -r -a launch <<< "${SIMSEG_LAUNCH:-srun --mpi=pmix --kill-on-bad-exit=1}"
exec "${launch[@]}" "${SIMSEG:-target/release/simseg}" run "$file" \
    --out "$out" --resume --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
