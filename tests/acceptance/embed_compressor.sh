#!/usr/bin/env bash
# Installs Headscope into a scratch folder, builds examples/embed_compressor against it with
# find_package alone, and runs it.   embed_compressor.sh BUILD_DIR SOURCE_DIR
set -euo pipefail
build=$1 source=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
cp -r "$source/examples/embed_compressor" "$scratch/example"
cmake -G Ninja -S "$scratch/example" -B "$scratch/build" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/build"
program=$(find "$scratch/build" -maxdepth 1 -type f -executable | head -n 1)
if ldd "$program" | grep -E 'hdf5|cairo|pcre2'; then
  echo "the embedded runtime must not need these libraries"
  exit 1
fi
"$program" "$scratch/example/plan.json"
