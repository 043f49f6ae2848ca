#!/usr/bin/env bash
# The main job from nothing: set-up, build, a real model, then
#   inspect -> profile -> calibrate -> plan -> heatmap -> generate -> evaluate
# on SmolLM2-135M-Instruct. Results go to examples/output/quickstart/. About two and a half minutes on two CPU
# cores once set up. Run it again and it starts over, set-up excepted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
examples/setup.sh --build
examples/get_smollm2.sh

headscope=build/headscope
model=examples/models/SmolLM2-135M-Instruct.Q4_1.gguf
out=examples/output/quickstart
mkdir -p "$out"
step() { printf '\n== %s\n' "$*"; }
started=$SECONDS

step "What is this model?"
"$headscope" inspect "$model"

step "Which heads retrieve? 24 probes of at most 1 024 tokens"
"$headscope" profile "$model" --out "$out/profile.h5" --force \
  --context-lengths 512,1024 --depths 0.1,0.3,0.5,0.7,0.9,1.0 --needles-per-cell 2

step "What does eviction cost each layer?"
"$headscope" calibrate "$model" --profile "$out/profile.h5" --samples 2 --context-length 768

step "A plan: 64 tokens per KV head, shared out by error"
"$headscope" plan "$out/profile.h5" --method compresskv --budget 64 --context-length 1024 \
  --out "$out/plan.json" --force

step "A picture of the heads"
"$headscope" heatmap "$out/profile.h5" --score srh --out "$out/heads.png" --force
"$headscope" heatmap "$out/profile.h5" --score srh --out "$out/heads.svg" --force

step "Generation with the full cache, and with the plan"
cat > "$out/prompt.txt" <<'PROMPT'
The harbour of Larkmoor is older than its church. Ships came here for salt, and later for slate, and
the quay was built wide enough for two carts to pass. In winter the fishermen mend their nets in the
long shed behind the inn, and their children learn the knots before they learn to read. The keeper of
the lighthouse is called Maren Toft, and she has kept the light for twenty-two years. Visitors ask her
about storms, but she prefers to talk about birds, of which she has counted nearly two hundred kinds.
On the hill above the town stands an orchard that belongs to nobody and to everyone. In September the
whole town picks the apples, and the school closes for a day. The baker makes a cake from the first
basket, and the oldest inhabitant cuts it. Nobody remembers why, and nobody would think of stopping.

Who is the keeper of the lighthouse of Larkmoor?
PROMPT
"$headscope" generate "$model" --chat --prompt-file "$out/prompt.txt" --max-new-tokens 24
"$headscope" generate "$model" --chat --prompt-file "$out/prompt.txt" --max-new-tokens 24 --plan "$out/plan.json"

step "How much accuracy does compression keep?"
"$headscope" evaluate "$model" --profile "$out/profile.h5" --tasks needle,qa --contexts 768 --samples 6 \
  --methods compresskv,snapkv,streaming --retentions 0.25,0.12,0.06 --out "$out/evaluation.h5" --force

printf '\nMain job: %d s. Made:\n' $((SECONDS - started))
ls -1 "$out"/profile.h5 "$out"/plan.json "$out"/heads.png "$out"/heads.svg "$out"/evaluation.h5 | sed 's/^/  /'
