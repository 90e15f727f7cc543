# --results DIR: a folder for each job.
. "$(dirname "$0")/lib.sh"

map 1 -k --tag --results deep/er/results sh -c 'echo "out $0"; echo "err $0" >&2; [ "$0" = a ]' ::: a $'b\n/c'
equal "$(cat deep/er/results/1/stdout)" "out a" "stdout"
equal "$(cat deep/er/results/1/stderr)" "err a" "stderr"
equal "$(head -1 deep/er/results/1/seq)" 1 "seq"
equal "$(cat deep/er/results/2/stdout)" $'out b\n/c' "stdout without tags"
equal "$(find deep/er/results -type f | wc -l)" 6 "files"
equal "$(head -1 out)" $'a\tout a' "the output is printed as well"
equal "$(sed -n 2p deep/er/results/1/seq | bash 2>/dev/null)" "out a" "the command in seq, run by bash"

# A folder that is there is used again; a further attempt replaces what the first one wrote.
map 0 --results deep/er/results --retries 1 \
  sh -c 'echo x >>count; if [ $(wc -l <count) = 1 ]; then echo long first attempt; exit 1; fi; echo second' ::: a
equal "$(cat deep/er/results/1/stdout)" second "stdout after a retry"

# Large output.
map 0 -j2 --results large sh -c 'head -c 30000000 /dev/zero | tr "\0" $0' ::: x y
equal "$(tr -d x <large/1/stdout | wc -c) $(wc -c <large/1/stdout)" "0 30000000" "30 MB"
