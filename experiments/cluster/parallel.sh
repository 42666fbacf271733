#!/bin/bash
# Several random seeds of an experiment side by side with GNU parallel, each in a folder of its own, then all in one.
#
#   experiments/cluster/parallel.sh experiments/alignment.toml 0 1 2 3 4
#   PARALLEL='--sshlogin a,b,: --workdir .' experiments/cluster/parallel.sh experiments/alignment.toml 0 1 2 3 4
#
# The second form spreads them over two other machines and this one, which see the same folder. Run again, it goes on where
# it stopped. On one machine without GNU parallel, `simseg run FILE --seeds 5 --jobs 2` does the same in one process.
set -euo pipefail

file=${1:?an experiment file, such as experiments/alignment.toml, and seeds}
shift
name=$(basename "$file" .toml)
parts=${SIMSEG_PARTS:-runs/$name.parts}
simseg=${SIMSEG:-target/release/simseg}
jobs=${JOBS:-2}
threads=$(($(nproc) > jobs ? $(nproc) / jobs : 1))

parallel --jobs "$jobs" --line-buffer --tag --halt soon,fail=1 \
    "$simseg" run "$file" --seeds '{}..{= $_++ =}' --out "$parts/seed{}" --resume --threads "$threads" ::: "$@"
folders=("${@/#/$parts/seed}")
"$simseg" merge "${folders[@]}" --out "${SIMSEG_OUT:-runs/$name}"
