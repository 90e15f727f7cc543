#!/usr/bin/env bash
# What a compiler has to say about headers, one at a time:
#   - each header of include/ and src/ compiles alone;
#   - each public header stays within its ceiling of included lines: what is left of a file that
#     includes only it when the preprocessor has run, without blank lines and line markers.
# The table shows, beside the lines, the processor time to compile such a file as a ratio to one that
# includes <thread> and <functional>; times are shown, and never fail.
#
# usage: headers.sh [--no-budget | --regenerate] COMPILER PROJECT_DIR BUDGET_FILE
#   --no-budget    another compiler's library has other lines: only check that headers stand alone
#   --regenerate   write BUDGET_FILE anew, each ceiling a tenth above what was counted
set -euo pipefail

mode=budget
case ${1-} in
  --no-budget) mode=alone; shift ;;
  --regenerate) mode=regenerate; shift ;;
esac
compiler=$1 project=$2 budget_file=$3
flags=(-std=c++20 -pthread -I "$project/include" -I "$project/src" -x c++)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { printf '%s\n' "$*"; failures=$((failures + 1)); }

included_lines() { "$compiler" "${flags[@]}" -E "$1" | grep -c -v -E '^(#.*|[[:space:]]*)$' || true; }

ceiling_for() { printf '%d' $((($1 * 11 / 10 / 50 + 1) * 50)); }

# Compiles file $1; sets $milliseconds to the processor time that took.
compile() {
  local TIMEFORMAT='%3U %3S' user system
  { time "$compiler" "${flags[@]}" -c -o /dev/null "$1" 2>"$work/errors"; } 2>"$work/time" || return 1
  read -r user system < "$work/time"
  milliseconds=$((10#${user/./} + 10#${system/./}))
}

declare -A ceilings=()
if [[ $mode == budget ]]; then
  while read -r header lines; do
    [[ $header == '#'* || -z $header ]] || ceilings[$header]=$lines
  done < "$budget_file"
fi

cd "$project"
mapfile -t public < <(find include -name '*.hpp' -printf '%P\n' | LC_ALL=C sort)
mapfile -t private < <(find src -name '*.hpp' -printf '%P\n' | LC_ALL=C sort)

printf '#include <thread>\n#include <functional>\n' > "$work/baseline.cpp"
compile "$work/baseline.cpp"
compile "$work/baseline.cpp"
baseline=$milliseconds
printf '%-44s %7s %8s %6s\n' 'header' 'lines' 'ceiling' 'time'
printf '%-44s %7d %8s %6s\n' '<thread> and <functional>' \
  "$(included_lines "$work/baseline.cpp")" - 1.00

[[ $mode != regenerate ]] || {
  printf '# The most lines each public header may pull in: see headers.sh, which also rewrites this file.\n'
} > "$work/budget"

for header in "${public[@]}"; do
  printf '#include <%s>\n' "$header" > "$work/one.cpp"
  if ! compile "$work/one.cpp"; then
    fail "$header does not compile alone:"
    head -n 20 "$work/errors"
    continue
  fi
  [[ $mode != alone ]] || continue
  lines=$(included_lines "$work/one.cpp")
  ceiling=${ceilings[$header]-none}
  printf '%-44s %7d %8s %3d.%02d\n' "$header" "$lines" "$ceiling" \
    $((milliseconds / baseline)) $((milliseconds * 100 / baseline % 100))
  if [[ $mode == regenerate ]]; then
    printf '%s %d\n' "$header" "$(ceiling_for "$lines")" >> "$work/budget"
  elif [[ $ceiling == none ]]; then
    fail "$header has no ceiling; add this line to ${budget_file##*/}: $header $(ceiling_for "$lines")"
  elif ((lines > ceiling)); then
    fail "$header pulls in $lines lines, its ceiling is $ceiling"
  fi
  unset "ceilings[$header]"
done

for header in "${private[@]}"; do
  printf '#include "%s"\n' "$header" > "$work/one.cpp"
  compile "$work/one.cpp" || {
    fail "src/$header does not compile alone:"
    head -n 20 "$work/errors"
  }
done

for header in "${!ceilings[@]}"; do
  fail "${budget_file##*/} lists $header, which is not there"
done

[[ $mode != regenerate ]] || cp "$work/budget" "$budget_file"
((failures == 0)) || { printf '%d failures\n' "$failures"; exit 1; }
printf '%d public and %d private headers compile alone' "${#public[@]}" "${#private[@]}"
[[ $mode == alone ]] && printf '\n' || printf ', and the public ones within their ceilings\n'
