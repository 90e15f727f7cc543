# What the command says about itself.
. "$(dirname "$0")/lib.sh"

"$HEDDLE" --help >out 2>err || fail "--help: status $?"
nothing_on_stderr
for word in Usage map doctor 'Exit status' Examples; do
  grep -qF "$word" out || fail "heddle --help does not say $word"
done
"$HEDDLE" map --help >out 2>err || fail "map --help: status $?"
nothing_on_stderr
# Every option that the source knows is in the page, and in the guide.
for option in jobs arg-file null shell timeout retries delay halt dry-run keep-order ungroup tag results \
  spill-limit explain jobserver joblog sync resume resume-failed bar report; do
  grep -qE -- "--$option\b" out || fail "heddle map --help does not tell --$option"
  grep -qF -- "--$option" "$(dirname "$0")/../../docs/guide/map.md" || fail "docs/guide/map.md does not tell --$option"
done
equal "$(awk 'length($0) > 80' out)" "" "lines wider than 80 columns"
"$HEDDLE" --version >out || fail "--version: status $?"
grep -qE '^heddle [0-9]+\.[0-9]+\.[0-9]+$' out || fail "version: $(cat out)"

for words in "" nosuch --nosuch; do
  status=0
  "$HEDDLE" $words >out 2>err || status=$?
  equal "$status" 2 "status of heddle $words"
  one_line "--help"
  equal "$(cat out)" "" "standard output of heddle $words"
done
for words in --help "map --help" --version; do
  status=0
  "$HEDDLE" $words >/dev/full 2>err || status=$?
  equal "$status" 255 "status of heddle $words with a full disk"
  one_line "standard output"
done
