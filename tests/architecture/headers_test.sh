#!/usr/bin/env bash
# headers.sh complains about headers that break its rules. usage: headers_test.sh COMPILER
set -euo pipefail
compiler=$1
headers=$(dirname "${BASH_SOURCE[0]}")/headers.sh
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
mkdir -p "$project/include/heddle/base" "$project/src/base"
budget=$project/budget.txt
good=$project/include/heddle/base/good.hpp

# expect STATUS PATTERN [OPTION]
expect() {
  local status=0 said
  said=$(bash "$headers" ${3-} "$compiler" "$project" "$budget") || status=$?
  if ((status != $1)) || ! grep -q -e "$2" <<<"$said"; then
    printf 'expected status %d and /%s/, got status %d and:\n%s\n' "$1" "$2" "$status" "$said"
    exit 1
  fi
}

printf '#pragma once\nint one;\nint two;\n' > "$good"
printf 'heddle/base/good.hpp 2\n' > "$budget"
expect 0 'within their ceilings'

printf 'int three;\n' >> "$good"
expect 1 'good.hpp pulls in 3 lines, its ceiling is 2'
expect 0 'compile alone' --no-budget
expect 0 'compile alone' --regenerate
expect 0 'within their ceilings'

printf '#pragma once\nunknown_type x;\n' > "$project/include/heddle/base/bad.hpp"
expect 1 'heddle/base/bad.hpp does not compile alone'
expect 1 'heddle/base/bad.hpp does not compile alone' --no-budget
printf '#pragma once\n#include <chrono>\nstd::vector<std::chrono::seconds> x;\n' \
  > "$project/include/heddle/base/bad.hpp"
expect 1 'heddle/base/bad.hpp does not compile alone' --no-budget
printf '#pragma once\n#include <vector>\n#include <chrono>\nstd::vector<std::chrono::seconds> x;\n' \
  > "$project/include/heddle/base/bad.hpp"
expect 0 'compile alone' --no-budget
printf '#pragma once\nint x;\n' > "$project/include/heddle/base/bad.hpp"
expect 1 'add this line to budget.txt: heddle/base/bad.hpp 50'
rm "$project/include/heddle/base/bad.hpp"

printf '#pragma once\nunknown_type x;\n' > "$project/src/base/hidden.hpp"
expect 1 'src/base/hidden.hpp does not compile alone'
rm "$project/src/base/hidden.hpp"

printf 'heddle/base/gone.hpp 100\n' >> "$budget"
expect 1 'lists heddle/base/gone.hpp, which is not there'
