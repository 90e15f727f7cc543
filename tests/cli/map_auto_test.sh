# -j auto: sizes that follow what the jobs do.
# processors: 2
. "$(dirname "$0")/lib.sh"

# A job that goes on only when as many as it says are there.
cat >meet <<'END'
#!/bin/bash
: >"here$2"
until [ "$(ls here* | wc -l)" -ge "$1" ]; do sleep 0.1; done
END
chmod +x meet

# Jobs that sleep get company, however few the cores are.
map 0 -j auto --explain --report=json ./meet 12 ::: $(seq 12)
equal "$(number max <(tail -1 err | grep -o '"running".*'))" 12 "jobs at once"
grep -qE '^heddle map: begins with [0-9]+ jobs? at once: ' err || fail "--explain does not tell the first size: $(cat err)"
grep -qE '^heddle map: [0-9.]+ s: [0-9]+ jobs at once instead of [0-9]+: [a-z]' err ||
  fail "--explain does not tell a change: $(cat err)"
if command -v python3 >/dev/null; then
  tail -1 err | python3 -c 'import json, sys; s = json.load(sys.stdin)["sizes"]; t = s["steps"]
assert s["changes"] + 1 == len(t) and s["looks"] >= s["changes"] > 0 and s["cpu_seconds"] > 0, s
assert t[0]["before"] == 0 and all(a["after"] == b["before"] for a, b in zip(t, t[1:])), t
assert all(x["reason"] and x["cause"] for x in t) and t[-1]["after"] >= 12, t' ||
    fail "not the JSON that is promised: $(tail -1 err)"
fi

# Not more than allowed.
rm -f here*
map 0 -j auto:3 --report ./meet 3 ::: $(seq 9)
grep -qE '^  running .* most 3;' err || fail "more or fewer than 3 jobs at once: $(cat err)"
grep -qE '^  sizes +[123] at first' err || fail "the report does not tell the sizes: $(cat err)"
map 0 -j auto:1 --report=json sleep ::: 0.1 0.1 0.1
equal "$(number max <(grep -o '"running".*' err))" 1 "jobs at once with auto:1"

# The other options hold as they do for a fixed number.
map 0 -k -j auto --retries 2 --joblog log sh -c 'echo $0; [ -e again$0 ] || { : >again$0; exit 1; }' ::: $(seq 20)
equal "$(cat out)" "$(seq 20)" "order of outputs"
equal "$(awk 'NR > 1 && $7 == 0' log | wc -l)" 20 "jobs in the joblog"
map 0 -j auto --joblog log --resume sh -c 'echo $0' ::: $(seq 22)
equal "$(sort -n out)" $'21\n22' "jobs that were left"
map 3 -j auto --halt soon,fail=3 --delay 0.02 false ::: $(seq 100)

# Inputs that come now and then: nothing to decide, and the sizes stay.
{ echo 1; sleep 0.3; echo 2; } | "$HEDDLE" map -j auto --report=json echo >out 2>err || fail "status $?"
equal "$(cat out)" $'1\n2' "slow inputs"
equal "$(number changes err)" 0 "changes with slow inputs"
# Idle, it costs nothing: no timer wakes it.
mkfifo inputs
"$HEDDLE" map -j auto echo <inputs >out 2>err &
pid=$!
exec 5>inputs
echo 1 >&5
wait_until grep -q 1 out
switches() { awk '/^voluntary/ {print $2}' /proc/$pid/status; }
is_quiet() {
  local before
  before=$(switches)
  sleep 1
  [ "$(switches)" = "$before" ]
}
wait_until is_quiet
exec 5>&-
wait $pid || fail "status $?"

# --explain has nothing to tell about a fixed size.
map 2 -j 4 --explain true ::: 1
one_line "--explain"
