#!/usr/bin/env bash
# What a compiler has to say about headers, one at a time:
#   - each header of include/ and src/ compiles alone;
#   - each public header stays within its ceiling of included lines: what is left of a file that
#     includes only it when the preprocessor has run, without blank lines and line markers.
#
# What takes the time is the standard library, over and over. So bundles of its headers are precompiled,
# and a header is compiled behind the largest of them that holds nothing but what it includes anyway:
# what it forgets to include is not there.
#
# usage: headers.sh [--no-budget | --regenerate] COMPILER PROJECT_DIR BUDGET_FILE
#   --no-budget    another compiler's library has other lines: only check that headers stand alone
#   --regenerate   write BUDGET_FILE anew, each ceiling a tenth above what was counted, and show also
#                  the processor time to compile such a file as a ratio to one that includes <thread>
#                  and <functional>
set -euo pipefail

mode=budget
case ${1-} in
  --no-budget) mode=alone; shift ;;
  --regenerate) mode=regenerate; shift ;;
esac
compiler=$1 project=$2 budget_file=$3
flags=(-std=c++20 -pthread -I "$project/include" -I "$project/src" -x c++)
# The largest first.
bundles=('algorithm atomic chrono memory' 'atomic chrono memory' 'atomic memory' chrono string)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { printf '%s\n' "$*"; failures=$((failures + 1)); }

# look FILE [LIST]: sets $lines to the lines that the file includes, and $bundle to the number of the
# bundle to compile it behind, or to none; writes the names of all headers that it includes to LIST.
look() {
  local found
  found=$({ "$compiler" "${flags[@]}" -E "$1" 2>/dev/null || true; } |
    awk -v work="$work" -v list="${2-}" -v bundles="${#bundles[@]}" '
    /^#/ { if (substr($3, 1, 2) == "\"/" && index($3, work) == 0) included[$3]; next }
    /[^ \t\r\f\v]/ { ++lines }
    END {
      if (list != "") for (name in included) print name > list
      chosen = "none"
      for (i = 0; i < bundles && chosen == "none"; ++i) {
        chosen = i
        while ((getline name < (work "/bundle" i ".list")) > 0) if (!(name in included)) chosen = "none"
      }
      print lines + 0, chosen
    }')
  read -r lines bundle <<<"$found"
}

ceiling_for() { printf '%d' $((($1 * 11 / 10 / 50 + 1) * 50)); }

# list_bundles: writes what the bundles include, which look needs.
list_bundles() {
  local i name
  for i in "${!bundles[@]}"; do
    for name in ${bundles[i]}; do printf '#include <%s>\n' "$name"; done > "$work/bundle$i.hpp"
    look "$work/bundle$i.hpp" "$work/list"
    mv "$work/list" "$work/bundle$i.list"
  done
}

# Compiles file $1 behind $bundle, which is precompiled when the first file needs it.
check() {
  local behind=()
  if [[ $bundle != none ]]; then
    [[ -f $work/bundle$bundle.hpp.gch ]] ||
      "$compiler" "${flags[@]}" -x c++-header -c -o "$work/bundle$bundle.hpp.gch" \
        "$work/bundle$bundle.hpp"
    behind=(-include "$work/bundle$bundle.hpp")
  fi
  "$compiler" "${flags[@]}" -fsyntax-only "${behind[@]}" "$1" 2>"$work/errors"
}

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

if [[ $mode == regenerate ]]; then
  printf '#include <thread>\n#include <functional>\n' > "$work/baseline.cpp"
  compile "$work/baseline.cpp"
  compile "$work/baseline.cpp"
  baseline=$milliseconds
  bundles=()
  look "$work/baseline.cpp"
  printf '%-44s %7s %8s %6s\n' header lines ceiling time '<thread> and <functional>' "$lines" - 1.00
else
  list_bundles
  [[ $mode == alone ]] || printf '%-44s %7s %8s\n' header lines ceiling
fi

[[ $mode != regenerate ]] || {
  printf '# The most lines each public header may pull in: see headers.sh, which also rewrites this file.\n'
} > "$work/budget"

# one HEADER NAME: whether it compiles alone; sets $lines.
one() {
  printf '#include "%s"\n' "$1" > "$work/one.cpp"
  look "$work/one.cpp"
  if [[ $mode == regenerate ]]; then compile "$work/one.cpp"; else check "$work/one.cpp"; fi || {
    fail "$2 does not compile alone:"
    head -n 20 "$work/errors"
    return 1
  }
}

for header in "${public[@]}"; do
  one "$header" "$header" || continue
  [[ $mode != alone ]] || continue
  ceiling=${ceilings[$header]-none}
  printf '%-44s %7d %8s' "$header" "$lines" "$ceiling"
  if [[ $mode == regenerate ]]; then
    printf ' %3d.%02d\n' $((milliseconds / baseline)) $((milliseconds * 100 / baseline % 100))
    printf '%s %d\n' "$header" "$(ceiling_for "$lines")" >> "$work/budget"
  else
    printf '\n'
    if [[ $ceiling == none ]]; then
      fail "$header has no ceiling; add this line to ${budget_file##*/}: $header $(ceiling_for "$lines")"
    elif ((lines > ceiling)); then
      fail "$header pulls in $lines lines, its ceiling is $ceiling"
    fi
  fi
  unset "ceilings[$header]"
done

for header in "${private[@]}"; do
  one "$header" "src/$header" || continue
done

for header in "${!ceilings[@]}"; do
  fail "${budget_file##*/} lists $header, which is not there"
done

[[ $mode != regenerate ]] || cp "$work/budget" "$budget_file"
((failures == 0)) || { printf '%d failures\n' "$failures"; exit 1; }
printf '%d public and %d private headers compile alone' "${#public[@]}" "${#private[@]}"
[[ $mode == alone ]] && printf '\n' || printf ', and the public ones within their ceilings\n'
