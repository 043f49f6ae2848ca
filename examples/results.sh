#!/usr/bin/env bash
# The tables of docs/results.md on SmolLM2-135M-Instruct: every method at every size, with controls,
# intervals and costs. Hours on two CPU cores; stopped at any moment, the same command goes on where
# it was, and what is complete is left alone.
#
#   examples/results.sh           fills docs/results.md and docs/images/results-*.png
#   examples/results.sh --quick   the same in about ten minutes on a few short prompts, into
#                                 examples/output/results-quick/, to see that everything runs
#   examples/results.sh --tables  only writes the tables anew, from what is measured so far
#
# SAMPLES, METHODS, LONG_METHODS, DTYPE, MODEL and OUT (a folder) in the environment change what is
# run; each OUT keeps the settings that it was begun with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:-}
case "$mode" in
  "" | --tables) out=${OUT:-examples/output/results} ;;
  --quick) out=${OUT:-examples/output/results-quick} ;;
  *) printf 'results.sh: expected --quick, --tables or nothing, found "%s"\n' "$mode" >&2; exit 2 ;;
esac
headscope=${HEADSCOPE:-build/headscope}
model=${MODEL:-examples/models/SmolLM2-135M-Instruct.Q4_1.gguf}
mkdir -p "$out"

# Every method; those whose judgement costs a pass over all pairs of tokens (h2o, kvcompress) and those
# that differ little from a neighbour stay out of the longest prompts.
methods=${METHODS:-compresskv,headcompresskv,adacompresskv,snapkv,pyramidkv,adakv,cake,headkv,h2o,razor,kvcompress,streaming}
# Those that a window or pooling concerns; the others are what they are in the first table.
window_methods=${METHODS:-compresskv,headcompresskv,adacompresskv,snapkv,pyramidkv,adakv,cake,headkv}
long_methods=${LONG_METHODS:-compresskv,snapkv,pyramidkv,adakv,headkv,streaming}
# What the product makes of CompressKV: budgets by error curves, a ranking per KV head, wider pooling.
ours=(--arm-selectors srh,all --arm-allocations curve --arm-sets kv_head --arm-pooling-kernels 5,13)
wider=(--arm-selectors all --arm-allocations curve --arm-sets kv_head --arm-pooling-kernels 9,13,21,31)
tuned_budgets=64,16
samples=${SAMPLES:-40}
tuning_samples=12
dtype=${DTYPE:-auto}
context=2048
short_contexts=1024,4096
longest=8000
families=multi-qa,summary,few-shot,code
retentions=0.25,0.12,0.06,0.03,0.015,0.007
budgets=128,64
grid_contexts=512,1024,2048,4096,8000
grid_depths=0,0.125,0.25,0.375,0.5,0.625,0.75,0.875,1
probes=(--probes default)
calibration=(--samples 4 --context-length 1024)
if [[ $mode == --quick ]]; then
  samples=${SAMPLES:-2}
  tuning_samples=1
  context=384
  short_contexts=256
  longest=512
  tuned_budgets=64
  families=code
  retentions=0.5,0.12
  budgets=64
  grid_contexts=256,384
  grid_depths=0,0.5,1
  probes=(--context-lengths 256 --depths 0.2,0.8 --needles-per-cell 1)
  calibration=(--samples 1 --context-length 256 --tasks needle)
fi

step() { printf '\n== %s\n' "$*"; }

# run NAME METHODS OPTIONS…: one file of the results, resumed where it was stopped.
run() {
  local name=$1 methods=$2
  shift 2
  step "$name"
  "$headscope" evaluate "$model" --dtype "$dtype" --profile "$out/profile.h5" --methods "$methods" \
    "$@" --out "$out/$name.h5" --resume > "$out/$name.txt"
}

# evaluate NAME METHODS OPTIONS…: accuracy alone.
evaluate() { run "$1" "$2" --samples "$samples" --timed-samples 0 "${@:3}"; }

# costs NAME CONTEXT RETENTIONS: time, memory and speed of every method, each alone.
costs() {
  run "$1" "$long_methods,headcompresskv" --tasks needle --contexts "$2" --samples 5 \
    --timed-samples 5 --retentions "$3"
}

# Settings chosen by tune on its own prompts, for each size, and what they are worth on these.
tune() {
  local budget plans=()
  for budget in ${tuned_budgets//,/ }; do
    step "tune for $budget tokens"
    "$headscope" tune "$model" --dtype "$dtype" --profile "$out/profile.h5" \
      --tasks needle,qa,reasoning --samples "$tuning_samples" --budget "$budget" \
      --context-length "$context" --out "$out/tuned-$budget.json" --resume \
      > "$out/tuned-$budget.txt"
    plans+=(--plan "$out/tuned-$budget.json")
  done
  evaluate tuned compresskv,snapkv --tasks needle,qa,reasoning --contexts "$context" \
    --budgets "$tuned_budgets" "${plans[@]}"
}

measure() {
  if [[ ! -x $headscope ]]; then examples/setup.sh --build; fi
  if [[ -z ${MODEL:-} ]]; then examples/get_smollm2.sh; fi
  step "Head scores"
  "$headscope" profile "$model" --dtype "$dtype" --out "$out/profile.h5" "${probes[@]}" --resume \
    > "$out/profile.txt"
  if [[ ! -e $out/calibrated ]]; then
    step "Error curves"
    "$headscope" calibrate "$model" --dtype "$dtype" --profile "$out/profile.h5" "${calibration[@]}" \
      > "$out/calibrate.txt"
    touch "$out/calibrated"
  fi
  # The papers' own settings first, then one window and one pooling for all, then what the product
  # makes of it; the most telling sizes before the rest.
  evaluate published "$methods" --tasks needle,qa,reasoning --contexts "$context" \
    --retentions "$retentions" --published-settings --no-fallback
  evaluate common "$window_methods" --tasks needle,qa,reasoning --contexts "$context" \
    --retentions "$retentions" "${ours[@]}"
  evaluate longest "$long_methods" --tasks needle --contexts "$longest" --retentions "$retentions" \
    "${ours[@]}"
  evaluate fallback compresskv --tasks needle,qa,reasoning --contexts "$context" \
    --retentions "$retentions" --no-fallback
  tune
  evaluate wider compresskv --tasks needle,qa,reasoning --contexts "$context" \
    --retentions "$retentions" "${wider[@]}"
  evaluate families "$long_methods" --tasks "$families" --contexts "$context" \
    --retentions "$retentions" "${ours[@]}"
  evaluate lengths "$long_methods" --tasks needle,qa --contexts "$short_contexts" \
    --retentions "$retentions" "${ours[@]}"
  costs costs "$context" 0.12,0.06,0.03
  evaluate tokens "$long_methods" --tasks needle,qa --contexts "$short_contexts" \
    --budgets "$budgets" "${ours[@]}"
  evaluate grid "$long_methods" --tasks needle --contexts "$grid_contexts" --depths "$grid_depths" \
    --retentions 0.06
  evaluate arms compresskv --tasks needle,qa --contexts "$context" --retentions 0.12,0.06,0.03 \
    --arm-selectors srh,retrieval,random,all --arm-heads 1,2,4,6,all \
    --arm-allocations layer,uniform
  evaluate tokens-longest "$long_methods" --tasks needle --contexts "$longest" \
    --budgets "$budgets" "${ours[@]}"
  costs costs-longest "$longest" 0.12,0.06,0.03
  evaluate families-lengths "$long_methods" --tasks "reasoning,$families" \
    --contexts "$short_contexts" --retentions "$retentions" "${ours[@]}"
  evaluate agnostic "$long_methods" --tasks needle,qa --contexts "$context" \
    --retentions "$retentions" --question-agnostic
  evaluate tokens-families "$long_methods" --tasks "reasoning,$families" \
    --contexts "$short_contexts,$context" --budgets "$budgets" "${ours[@]}"
  evaluate tokens-middle "$long_methods" --tasks needle,qa --contexts "$context" \
    --budgets "$budgets" "${ours[@]}"
}

# section NAME TITLE: the tables of one file, or nothing where it is not complete.
section() {
  [[ -e $out/$1.h5 ]] || return 0
  printf '## %s\n\n' "$2"
  printf 'Made by `%s`.\n\n' "$("$headscope" inspect "$out/$1.h5" --json | sed -n \
    's/^ *"command": "\(.*\)",$/\1/p' | head -n 1)"
  "$headscope" inspect "$out/$1.h5" --markdown
  printf "\n"
}

tables() {
  printf '%s, %s prompts a cell; the same prompts for every method. ' "$(basename "$model")" "$samples"
  printf '`random` keeps tokens drawn at random, under the same bytes.\n\n'
  section published "Every method with the settings of its own paper"
  section common "Every method under one window and one pooling, and what the product makes of it"
  section longest "Needles in the longest prompts"
  section tuned "Settings chosen by \`tune\`"
  section wider "Pooling"
  section families "Further families"
  section agnostic "Compressed before the question is known"
  section arms "What carries CompressKV: who chooses, how many, and budgets of layers"
  section fallback "CompressKV without the fall-back to all heads"
  section lengths "Shorter and longer prompts"
  section families-lengths "Two facts and further families in shorter and longer prompts"
  section tokens "Fixed numbers of tokens"
  section tokens-middle "Fixed numbers of tokens in prompts of $context"
  section tokens-families "Fixed numbers of tokens: two facts and further families"
  section tokens-longest "Fixed numbers of tokens in the longest prompts"
  section costs "Time, memory and speed"
  section costs-longest "Time, memory and speed in the longest prompts"
  section grid "Needles by depth and length"
}

# Replaces what stands between the two marks of the document.
fill_document() {
  local document=$1
  tables > "$out/tables.md"
  awk -v tables="$out/tables.md" '
    /<!-- tables: begin -->/ { print; print ""; while ((getline line < tables) > 0) print line; skip = 1 }
    /<!-- tables: end -->/ { skip = 0 }
    !skip { print }' "$document" > "$out/document.md"
  mv "$out/document.md" "$document"
}

pictures() {
  local folder=$1
  mkdir -p "$folder"
  local name
  for name in published common longest families; do
    [[ -e $out/$name.h5 ]] || continue
    "$headscope" heatmap "$out/$name.h5" --picture frontier --out "$folder/results-$name.png" --force
  done
  if [[ -e $out/grid.h5 ]]; then
    for name in full ${long_methods//,/ } random; do
      "$headscope" heatmap "$out/grid.h5" --picture niah --method "$name" \
        --out "$folder/results-grid-$name.png" --force
    done
  fi
}

if [[ $mode != --tables ]]; then measure; fi
step "Tables and pictures"
if [[ $mode == --quick ]]; then
  cp docs/results.md "$out/results.md"
  fill_document "$out/results.md"
  pictures "$out"
  printf 'wrote %s\n' "$out/results.md"
else
  fill_document docs/results.md
  pictures docs/images
  printf 'wrote docs/results.md\n'
fi
