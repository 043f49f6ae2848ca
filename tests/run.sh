#!/usr/bin/env bash
# Sets up, builds and runs every test. Arguments go to CTest (-R NAME, -LE parity, …).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=$(nproc)  # before OMP_NUM_THREADS, which nproc takes for the number of cores
examples/setup.sh --tests --build
examples/get_smollm2.sh
# Public material that some tests compare with; they skip where it is absent.
export HEADSCOPE_SHARED=${HEADSCOPE_SHARED:-$(dirname "$PWD")/shared/data}
export HEADSCOPE_SMOLLM2=$PWD/examples/models/SmolLM2-135M-Instruct.Q4_1.gguf
export TQDM_DISABLE=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
ctest --test-dir build --output-on-failure --parallel "$jobs" "$@"
