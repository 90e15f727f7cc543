#!/usr/bin/env bash
# The tests that docs/contracts.md names in its table are there.
#   contracts.sh PROJECT
set -eu
cd "$1"
status=0
count=0
while IFS=. read -r suite name; do
  count=$((count + 1))
  grep -rqE "^TEST(_P|_F)?\($suite, *$name\)" tests || {
    echo "docs/contracts.md names $suite.$name, and there is no such test" >&2
    status=1
  }
done < <(grep '^| [0-9]' docs/contracts.md | grep -oE '`[A-Za-z_]+\.[A-Za-z0-9_]+`' | tr -d '`')
[ "$count" -gt 20 ] || { echo "only $count tests found in the table of docs/contracts.md" >&2; status=1; }
exit $status
