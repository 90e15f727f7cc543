#!/usr/bin/env bash
# What a task costs, counted and not timed: instructions, and the read-modify-writes among them (what
# has a lock prefix, and xchg with memory). callgrind counts the instructions, objdump tells which are
# which. tasks.cpp says what runs meanwhile; the figures do not vary from run to run.
#
# A figure that is more than a tenth off the recorded one, or off by 0.05 where that is more, is a
# failure, and one that became better is one, too: record it, then nobody can lose it unseen.
#
# usage: check.sh [--record] PROGRAM RECORDED COMPILER
#   PROGRAM   built from tasks.cpp
#   RECORDED  the figures; --record writes them anew ("ninja recorded_costs")
#   COMPILER  name, version and machine. Others compile to other figures, and the check is skipped
#             (exit status 77).
set -euo pipefail

record=false
if [[ ${1-} == --record ]]; then record=true; shift; fi
program=$1 recorded=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() { printf 'skipped: %s\n' "$*"; exit 77; }

for tool in valgrind objdump; do
  command -v "$tool" >/dev/null || skip "$tool is not installed"
done
if ! $record; then
  of=$(sed -n 's/^# compiled by //p' "$recorded")
  [[ $of == "$compiler" ]] || skip "the figures are recorded for $of, and this is $compiler"
fi

# Addresses of the read-modify-writes in an object file.
read_modify_writes() {
  objdump -d --no-show-raw-insn "$1" |
    awk '$2 == "lock" || ($2 ~ /^xchg/ && /\(/) { sub(":", "", $1); print $1 }'
}

# count OPERATION SIDE: sets $line to "OPERATION SIDE instructions read-modify-writes", a task each.
# In callgrind's file "ob=" says which object file the addresses that follow are of, and the line after
# "calls=" gives the cost of the function called, which is listed on its own.
count() {
  local tasks object
  tasks=$(valgrind --tool=callgrind --collect-atstart=no --dump-instr=yes --compress-strings=no \
    --compress-pos=no --callgrind-out-file="$work/counted" "$program" "$1" "$2" 2>"$work/log") ||
    { cat "$work/log"; exit 1; }
  while IFS= read -r object; do
    read_modify_writes "$object" | sed "s|^|$object |"
  done < <(sed -n 's/^ob=//p' "$work/counted" | sort -u | grep '^/') >"$work/addresses"
  line=$(awk -v tasks="$tasks" -v what="$1 $2" '
    NR == FNR { is_rmw[$1 " 0x" $2] = 1; next }
    /^ob=/ { object = substr($0, 4) }
    /^calls=/ { getline; next }
    /^0x/ { instructions += $3; if ((object " " $1) in is_rmw) rmws += $3 }
    END { printf "%s %.1f %.2f\n", what, instructions / tasks, rmws / tasks }
  ' "$work/addresses" "$work/counted")
}

sides=("post submitter" "post worker" "submit submitter" "submit worker" "submit reader"
  "enter worker" "fork worker" "group worker" "coroutine worker" "await worker" "loop worker"
  "context worker")
for each in "${sides[@]}"; do
  read -r operation side <<<"$each"
  count "$operation" "$side"
  printf '%s\n' "$line"
done >"$work/figures"

if $record; then
  {
    printf '# What a task costs on a pool of one worker; see check.sh.\n'
    printf '# compiled by %s\n# operation side instructions read-modify-writes\n' "$compiler"
    cat "$work/figures"
  } >"$recorded"
  cat "$recorded"
  exit 0
fi

awk '
  function far(now, then, room) {
    room = then / 10 > 0.05 ? then / 10 : 0.05
    return now - then > room || then - now > room
  }
  /^#/ { next }
  NR == FNR { instructions[$1 " " $2] = $3; rmws[$1 " " $2] = $4; ++recorded; next }
  {
    key = $1 " " $2
    verdict = "ok"
    if (!(key in instructions)) verdict = "NOT RECORDED"
    else if (far($3, instructions[key]) || far($4, rmws[key])) verdict = "DIFFERENT"
    if (verdict != "ok") failed = 1
    printf "%s: %s instructions (recorded %s), %s read-modify-writes (recorded %s): %s\n",
      key, $3, instructions[key], $4, rmws[key], verdict
    ++seen
  }
  END { exit failed || seen != recorded }
' "$recorded" "$work/figures" ||
  { printf 'if that is meant: ninja -C build/release recorded_costs\n'; exit 1; }
