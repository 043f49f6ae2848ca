#!/usr/bin/env bash
# On SmolLM2-135M-Instruct, five-digit-number needles at 1 024 tokens put layer 21 head 8 first.
#   smollm2_heads.sh PROGRAM MODEL
set -euo pipefail
program=$1 model=$2
[ -e "$model" ] || { echo "SKIPPED: no demonstration model; examples/get_smollm2.sh fetches it"; exit 0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$program" profile "$model" --out "$scratch/p.h5" --families number --context-lengths 1024 --depths 0.3,0.7 \
  --needles-per-cell 3 --json --quiet >"$scratch/result.json"
python3 - "$scratch/result.json" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1]))
best = result["scores"]["srh"]["top_heads"][:3]
print(result["num_successful"], "of", result["num_probes"], "answered; best heads", best)
assert result["num_successful"] >= 5
assert best[0][:2] == [21, 8], best
assert 0.8 < best[0][2] <= 1.0, best
PYTHON
