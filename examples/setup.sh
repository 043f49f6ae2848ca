#!/usr/bin/env bash
# Everything that Headscope needs to build and run on Debian 12: system packages, LibTorch and, with
# --tests, the Python packages that the tests compare against. Safe to run again: what is there is
# left alone, and a second run takes about a second.
#
#   examples/setup.sh [--tests] [--cuda | --no-cuda] [--build]
#
#   --tests    also transformers, tokenizers, gguf, h5py (oracles of tests/parity)
#   --cuda     also LibTorch's CUDA libraries and, where no toolkit is installed, an nvcc
#   --no-cuda  CPU only, whatever is installed (default: CUDA when an nvcc 13 is found)
#   --build    configure and build into build/ when set up
#
# HEADSCOPE_CACHE (default ~/.cache/headscope) holds LibTorch, outside the clone, for all clones.
# HEADSCOPE_TORCH_DIR names a LibTorch of your own; then none is installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${HEADSCOPE_CACHE:-$HOME/.cache/headscope}
venv=$cache/venv
torch_version=2.11.0

tests=0 cuda=auto build=0
for argument in "$@"; do
  case $argument in
    --tests) tests=1 ;;
    --cuda) cuda=on ;;
    --no-cuda) cuda=off ;;
    --build) build=1 ;;
    -h | --help) sed -n '2,16p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "setup: unknown option $argument (see --help)" >&2; exit 2 ;;
  esac
done
say() { echo "setup: $*" >&2; }

system_packages() {
  local wanted=(g++ cmake ninja-build ccache lld pkg-config libhdf5-dev libeigen3-dev libcli11-dev
    catch2 nlohmann-json3-dev libpcre2-dev libutf8proc-dev libcairo2-dev fonts-dejavu-core python3
    python3-venv python3-pip unzip ca-certificates)
  local missing=() package
  for package in "${wanted[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "these packages are missing, and installing them needs root: apt-get install ${missing[*]}"; exit 2; }
    as_root=(sudo)
  fi
  say "installing system packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

nvcc_release() {
  local nvcc=${CUDACXX:-}
  [ -n "$nvcc" ] || nvcc=$(command -v nvcc || true)
  [ -n "$nvcc" ] || { [ -x /usr/local/cuda/bin/nvcc ] && nvcc=/usr/local/cuda/bin/nvcc; }
  [ -n "$nvcc" ] || { [ -x "$(site)/nvidia/cu13/bin/nvcc" ] && nvcc=$(site)/nvidia/cu13/bin/nvcc; }
  [ -n "$nvcc" ] && "$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p'
  return 0
}
site() { echo "$venv"/lib/python3*/site-packages; }

# pip_once NAME ARGUMENTS…: `pip install ARGUMENTS`, once per set of arguments.
pip_once() {
  local name=$1 stamp; shift
  stamp=$venv/.headscope-$name-$(echo "$*" | sha256sum | cut -c1-12)
  [ -e "$stamp" ] && return
  say "installing $name into $venv: $*"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input "$@"
  touch "$stamp"
}

libtorch() {
  if [ -n "${HEADSCOPE_TORCH_DIR:-}" ]; then
    say "using the LibTorch of HEADSCOPE_TORCH_DIR"
    return
  fi
  [ -x "$venv/bin/pip" ] || { say "making a Python environment in $venv"; mkdir -p "$cache"; python3 -m venv "$venv"; }
  if [ "$cuda" = auto ]; then
    [ "$(nvcc_release)" = 13 ] && cuda=on || cuda=off
  fi
  if [ "$cuda" = on ] || [ "$tests" = 1 ]; then
    pip_once libtorch-with-cuda "torch==$torch_version"
  elif ! compgen -G "$venv/.headscope-libtorch-with-cuda-*" >/dev/null; then
    pip_once libtorch --no-deps "torch==$torch_version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
  fi
  if [ "$cuda" = on ] && [ "$(nvcc_release)" != 13 ]; then
    pip_once cuda-compiler 'cuda-toolkit[nvcc,cccl,nvrtc,crt,nvvm]==13.0.2'
  fi
}

system_packages
libtorch
if [ "$tests" = 1 ] && [ -x "$venv/bin/pip" ]; then
  pip_once oracles 'transformers>=5.2,<5.3' tokenizers 'gguf==0.19.0' h5py accelerate numpy jinja2 sentencepiece kvpress==0.5.5
fi
if [ "$build" = 1 ]; then
  preset=cpu
  [ "$cuda" = on ] && preset=cuda
  options=()
  [ -n "${HEADSCOPE_TORCH_DIR:-}" ] && options+=("-DHEADSCOPE_TORCH_DIR=$HEADSCOPE_TORCH_DIR")
  [ -x "$venv/bin/python" ] && options+=("-DHEADSCOPE_PYTHON=$venv/bin/python")
  [ "$tests" = 1 ] && options+=(-DHEADSCOPE_TESTS=ON) || options+=(-DHEADSCOPE_TESTS=OFF)
  say "building (preset $preset)"
  cd "$root"
  cmake --preset "$preset" "${options[@]}" >build-configure.log 2>&1 || { cat build-configure.log >&2; exit 1; }
  mv build-configure.log build/configure.log
  cmake --build build --parallel "$(nproc)" >&2
fi
say "ready"
