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
# SAMPLES, METHODS, MODEL and OUT (a folder) in the environment change what is run; each OUT keeps
# the settings that it was begun with.
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

methods=${METHODS:-compresskv,snapkv,streaming}
samples=${SAMPLES:-40}
needle_contexts=1024,2048,4096,8000
family_contexts=1024,2048,4096
families=qa,multi-qa,reasoning,summary,few-shot,code
retentions=0.25,0.12,0.06,0.03,0.015,0.007
budgets=128,64
arm_context=2048
grid_contexts=512,1024,2048,4096,8000
grid_depths=0,0.125,0.25,0.375,0.5,0.625,0.75,0.875,1
probes=(--context-lengths 1024,2048,4096 --depths 0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1
        --needles-per-cell 4)
calibration=(--samples 8 --context-length 2048)
if [[ $mode == --quick ]]; then
  samples=${SAMPLES:-2}
  needle_contexts=256,384
  family_contexts=384
  families=qa,code
  retentions=0.5,0.12
  budgets=64
  arm_context=384
  grid_contexts=256,384
  grid_depths=0,0.5,1
  probes=(--context-lengths 256 --depths 0.2,0.8 --needles-per-cell 1)
  calibration=(--samples 1 --context-length 256 --tasks needle)
fi

step() { printf '\n== %s\n' "$*"; }

# evaluate NAME OPTIONS…: one file of the results, resumed where it was stopped.
evaluate() {
  local name=$1
  shift
  step "$name"
  "$headscope" evaluate "$model" --profile "$out/profile.h5" --methods "$methods" \
    --samples "$samples" "$@" --out "$out/$name.h5" --resume > "$out/$name.txt"
}

measure() {
  if [[ ! -x $headscope ]]; then examples/setup.sh --build; fi
  if [[ -z ${MODEL:-} ]]; then examples/get_smollm2.sh; fi
  step "Head scores"
  "$headscope" profile "$model" --out "$out/profile.h5" --scores srh,retrieval,r2,echo,induction \
    "${probes[@]}" --resume > "$out/profile.txt"
  if [[ ! -e $out/calibrated ]]; then
    step "Error curves"
    "$headscope" calibrate "$model" --profile "$out/profile.h5" "${calibration[@]}" \
      > "$out/calibrate.txt"
    touch "$out/calibrated"
  fi
  evaluate needles --tasks needle --contexts "$needle_contexts" --retentions "$retentions"
  evaluate needles-tokens --tasks needle --contexts "$needle_contexts" --budgets "$budgets"
  evaluate families --tasks "$families" --contexts "$family_contexts" --retentions "$retentions"
  evaluate families-tokens --tasks "$families" --contexts "$family_contexts" --budgets "$budgets"
  evaluate agnostic --tasks needle,qa --contexts "${family_contexts%%,*}" \
    --retentions "$retentions" --question-agnostic
  evaluate arms --tasks needle,qa --contexts "$arm_context" --retentions "$retentions" \
    --arm-selectors srh,retrieval,random,all --arm-heads 1,2,4,6,all \
    --arm-allocations layer,uniform --timed-samples 0
  evaluate grid --tasks needle --contexts "$grid_contexts" --depths "$grid_depths" \
    --retentions 0.06 --timed-samples 0
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
  section needles "Needles"
  section needles-tokens "Needles at fixed numbers of tokens"
  section families "Task families"
  section families-tokens "Task families at fixed numbers of tokens"
  section agnostic "Compressed before the question is known"
  section arms "What carries CompressKV: who chooses, how many, and budgets of layers"
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
  for name in needles families; do
    [[ -e $out/$name.h5 ]] || continue
    "$headscope" heatmap "$out/$name.h5" --picture frontier --out "$folder/results-$name.png" --force
  done
  if [[ -e $out/grid.h5 ]]; then
    for name in full ${methods//,/ } random; do
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
