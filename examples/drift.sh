#!/usr/bin/env bash
# The drift check on SmolLM2-135M-Instruct: conversations about a text with two facts in it. The first
# turn asks for one fact and the cache is compressed for it; the second asks for the same fact again,
# or for the other one, which is no longer there. Printed as a table: what the sentinels saw, and the
# right answers with and without the fall-back. About five minutes on two CPU cores.
#
#   examples/drift.sh
#
# CONVERSATIONS, SENTENCES, METHOD, BUDGET, WINDOW, POOLING, DTYPE and MODEL in the environment change what is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
headscope=${HEADSCOPE:-build/headscope}
model=${MODEL:-examples/models/SmolLM2-135M-Instruct.Q4_1.gguf}
conversations=${CONVERSATIONS:-20}
sentences=${SENTENCES:-90}
method=${METHOD:-snapkv}
budget=${BUDGET:-64}
window=${WINDOW:-8}
pooling=${POOLING:-13}
if [[ ! -x $headscope ]]; then examples/setup.sh --build; fi
if [[ -z ${MODEL:-} ]]; then examples/get_smollm2.sh; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$headscope" profile "$model" --dtype "${DTYPE:-auto}" --probes quick --out "$work/profile.h5" --quiet \
  > /dev/null
"$headscope" plan "$work/profile.h5" --method uniform --eviction "$method" --budget "$budget" \
  --observation-window "$window" --pooling-kernel "$pooling" --index-sets kv_head --out "$work/plan.json" > /dev/null

people=(Anna Boris Clara Dmitri Elena Felix Greta Hugo Irene Jonas)
things=(bicycle suitcase piano telescope garden workshop violin boat library caravan)
who=("The gardener" "A teacher" "The baker" "An old sailor" "My neighbour" "The postman" "A child")
did=("walked slowly past" "stopped in front of" "talked about" "looked for" "painted" "cleaned" "forgot")
what=("the wooden gate" "the market square" "the long bridge" "a basket of apples" "the church clock" \
  "the empty station" "a broken umbrella" "the river bank" "the school yard" "a box of letters" "the mill")
when=("on Monday" "before breakfast" "in the rain" "late in autumn" "without a word")

number() { echo $((10000 + ($1 * 7919 + $2 * 104729) % 90000)); }
fact() { printf 'The secret number of the %s of %s is %s.' "$1" "$2" "$3"; }
question() { printf 'What is the secret number of the %s of %s?' "$1" "$2"; }

# prompt I: a text with the facts of conversation I at a third and at two thirds, and its first question.
prompt() {
  local i=$1 s
  printf 'Read this text and answer the question after it.\n\n'
  for ((s = 0; s < sentences; ++s)); do
    if ((s == sentences / 3)); then printf '%s ' "$first"; fi
    if ((s == 2 * sentences / 3)); then printf '%s ' "$second"; fi
    local n=$((i * 1009 + s * s * 13 + s * 31))
    printf '%s %s %s %s. ' "${who[n % 7]}" "${did[n / 3 % 7]}" "${what[n / 5 % 11]}" "${when[n / 7 % 5]}"
  done
  printf '\n\n%s' "$first_question"
}

# value JSON KEY: the last figure of that name, which is the second turn's.
value() { grep -o "\"$2\": *[^,}]*" <<< "$1" | tail -n 1 | sed 's/.*: *//'; }

# converse KIND QUESTION NUMBER [OPTION…]: one line "kind kept drifted right" of the second turn.
converse() {
  local kind=$1 turn=$2 expected=$3 out right=0
  shift 3
  out=$("$headscope" generate "$model" --dtype "${DTYPE:-auto}" --chat --prompt-file "$work/prompt" \
    --turn "$turn" --plan "$work/plan.json" \
    --profile "$work/profile.h5" --max-new-tokens 16 --drift-check --json --quiet "$@")
  if [[ $(grep -o '"text": *"[^"]*"' <<< "$out" | tail -n 1) == *"$expected"* ]]; then right=1; fi
  printf '%s %s %s %s\n' "$kind" "$(value "$out" sentinel_lowest)" "$(value "$out" drifted)" "$right"
}

for ((i = 0; i < conversations; ++i)); do
  a=${things[i % 10]} b=${things[(i + 3) % 10]} x=${people[(i * 3 + 1) % 10]} y=${people[(i * 7 + 4) % 10]}
  first=$(fact "$a" "$x" "$(number "$i" 1)") second=$(fact "$b" "$y" "$(number "$i" 2)")
  first_question=$(question "$a" "$x")
  prompt "$i" > "$work/prompt"
  converse same "Once more: $first_question" "$(number "$i" 1)"
  converse other "$(question "$b" "$y")" "$(number "$i" 2)"
  converse other-fallback "$(question "$b" "$y")" "$(number "$i" 2)" --drift-fallback 8
  printf '\r%d of %d conversations' $((i + 1)) "$conversations" >&2
done > "$work/turns"
printf '\n' >&2

printf '| second turn | kept mass seen by the sentinels: mean (lowest to highest) | drifted | right answers |\n'
printf '|---|---:|---:|---:|\n'
for kind in same other other-fallback; do
  awk -v kind=$kind -v name="$(case $kind in
    same) echo "the same question again" ;;
    other) echo "the other question" ;;
    *) echo "the other question, with \`--drift-fallback 8\`" ;;
  esac)" '
    $1 == kind { n++; sum += $2; if (n == 1 || $2 < low) low = $2; if (n == 1 || $2 > high) high = $2
                 drifted += ($3 == "true"); right += $4 }
    END { printf "| %s | %.2f (%.2f to %.2f) | %d of %d | %d of %d |\n", name, sum / n, low, high, \
          drifted, n, right, n }' "$work/turns"
done
