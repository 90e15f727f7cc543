# --report: what it tells is true.
# processors: 2
. "$(dirname "$0")/lib.sh"

# The first two wait for each other.
map 2 -j2 --report=json sh -c ::: ': >first; until [ -e second ]; do sleep 0.05; done; sleep 0.4' \
  ': >second; until [ -e first ]; do sleep 0.05; done; sleep 0.4' 'exit 1' 'exit 2'
equal "$(number jobs err) $(number succeeded err) $(number failed err)" "4 2 2" "counts"
check() { awk "BEGIN { exit !($1) }" || fail "$1 in $(cat err)"; }
check "$(number wall_seconds err) >= 0.4"
check "$(number sum err) >= 0.8"
check "$(number max err) >= 0.4 && $(number p50 err) <= $(number p90 err)"
check "$(number p90 err) <= $(number p99 err) && $(number p99 err) <= $(number max err)"
check "$(number speed_up err) > 0.98 * $(number sum err) / $(number wall_seconds err)"
check "$(number speed_up err) < 1.02 * $(number sum err) / $(number wall_seconds err)"
check "$(number waiting_share err) > 0.5 && $(number waiting_share err) <= 1"
check "$(number user_seconds err) >= 0 && $(number system_seconds err) >= 0"
if command -v python3 >/dev/null; then
  python3 -c 'import json, sys; r = json.load(open("err")); s = r["running"]
assert s["max"] == 2 and 0 < len(s["steps"]) <= 64 and all(0 <= x <= 2.001 for x in s["steps"]), s
assert r["own"]["cpu_us_per_job"] > 0' || fail "not the JSON that is promised: $(cat err)"
fi

# A busy job does not wait.
map 0 --report=json sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done' ::: 1
check "$(number user_seconds err) > 0 && $(number waiting_share err) < 1"

# The series stays bounded, and the text tells the same.
map 0 -j4 --report true < <(seq 500)
for word in 'jobs        500, 0 failed' 'wall time' 'jobs/s' 'user' 'p99' 'speed-up' 'waited' 'running'; do
  grep -qF "$word" err || fail "the report does not say \"$word\": $(cat err)"
done
equal "$(cat out)" "" "the report is on standard error"
map 0 -j1 --report echo ::: 1
equal "$(cat out)" 1 "standard output with a report"

# It comes also when the run fails.
map 255 --report=json nosuchcommand ::: 1
equal "$(tail -1 err | head -c 9)" '{"jobs": ' "report of a run that failed"
