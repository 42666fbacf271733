#!/usr/bin/env bash
# Everything that has to be shown on a GPU, in one go: conformance and parity on cuda:0, the ablation in f32 and in bf16, and throughput beside
# PyTorch. It runs in the folder that `cargo xtask carry DIR` made, with the libtorch of this machine's Python (torch 2.11.0, complete):
#
#     bash gpu.sh                   # about 15 minutes on one card; PYTHON=... chooses another Python
#
# Exit 1 if anything fails; what it prints last is what benches/README.md wants.
set -uo pipefail
cd "$(dirname "$0")"
python="${PYTHON:-python3}"
torch="$("$python" -c 'import os, torch; assert torch.__version__.startswith("2.11.0"), torch.__version__; print(os.path.dirname(torch.__file__))')" || exit 1
export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
failed=()
step() {
  local name="$1"
  shift
  echo "── $name: $*"
  "$@" || failed+=("$name")
}

step conformance ./conformance cuda/ --quiet
step parity ./simseg parity --against tch --device cuda:0 --json parity.json
for precision in f32 bf16; do
  # The experiment's own expectations (loda at least twice as good as the others) are checked for every seed.
  step "ablation $precision" ./simseg run quick.toml --seeds 3 --backend tch --device cuda:0 --precision "$precision" --out "runs-$precision" --fresh
done
step throughput "$python" peers/cuda.py --device cuda:0 --program ./throughput --least 0.95

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[*]}"
  exit 1
fi
echo "all passed"
