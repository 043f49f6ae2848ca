#!/usr/bin/env bash
# Everything that needs a GPU, in one command: sets up and builds with CUDA, checks every kernel
# against float64 and the program on the device, runs the kernels under compute-sanitizer, and times
# them. Stops at the first thing that is wrong. Needs a CUDA 13 driver.
#
#   tests/gpu.sh [--no-sanitizer] [--no-benchmarks]
#
# The benchmarks' results go to docs/benchmarks/gpu.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sanitizer=1 benchmarks=1
for argument in "$@"; do
  case $argument in
    --no-sanitizer) sanitizer=0 ;;
    --no-benchmarks) benchmarks=0 ;;
    -h | --help) sed -n '2,8p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "gpu: unknown option $argument (see --help)" >&2; exit 2 ;;
  esac
done
say() { echo "gpu: $*" >&2; }

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv >&2 ||
  { say "no NVIDIA GPU here (nvidia-smi does not answer)"; exit 3; }

say "building"
examples/setup.sh --tests --cuda --build

say "kernels against float64, CUDA graphs, spills"
build/test_kernels "[gpu]" | tee build/gpu-tests.log
if grep -q "^SKIPPED" build/gpu-tests.log; then
  say "tests were skipped: LibTorch sees no device"
  exit 3
fi
ctest --test-dir build --output-on-failure -R "no CUDA kernel spills"

say "the program on the device"
build/headscope selftest --device cuda

if [ "$sanitizer" = 1 ]; then
  tool=$(command -v compute-sanitizer || true)
  [ -n "$tool" ] || { [ -x /usr/local/cuda/bin/compute-sanitizer ] && tool=/usr/local/cuda/bin/compute-sanitizer; }
  if [ -z "$tool" ]; then
    say "no compute-sanitizer on the PATH: install the CUDA toolkit's, or pass --no-sanitizer"
    exit 3
  fi
  # LibTorch keeps freed memory for itself; without that, every wrong access shows.
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1
  for check in memcheck racecheck synccheck; do
    say "compute-sanitizer $check"
    "$tool" --tool "$check" --error-exitcode 1 \
      build/test_kernels "*(CUDA)"
  done
  unset PYTORCH_NO_CUDA_MEMORY_CACHING
fi

if [ "$benchmarks" = 1 ]; then
  say "benchmarks"
  mkdir -p docs/benchmarks
  build/headscope_gpu_bench --json docs/benchmarks/gpu.json
fi
say "all is well"
