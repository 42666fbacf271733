#!/bin/bash
# One task of a Slurm array: one random seed of an experiment, in a folder of its own.
#
#   sbatch --array=0-4 experiments/cluster/slurm.sh experiments/alignment.toml
#
# What follows the file is passed on to `simseg run`. A task that is started again goes on where it stopped. docs/cluster.md
# says how the folders become one.
#SBATCH --job-name=simseg
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
set -euo pipefail

file=${1:?an experiment file, such as experiments/alignment.toml}
shift
seed=${SLURM_ARRAY_TASK_ID:?start this with: sbatch --array=0-4 $0 $file}
parts=${SIMSEG_PARTS:-runs/$(basename "$file" .toml).parts}

exec "${SIMSEG:-target/release/simseg}" run "$file" \
    --seeds "$seed..$((seed + 1))" --out "$parts/seed$seed" --resume --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
