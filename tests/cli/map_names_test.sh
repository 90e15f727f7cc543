# Any byte in a name is safe: with the command run directly, and inside --shell.
# After the tests SPCCHAR, COMPOSED, ONEREP and INPUTSIZE of man parallel_alternatives.
# processors: 0
. "$(dirname "$0")/lib.sh"

every_byte=$(for i in $(seq 1 255); do printf '\\%03o' "$i"; done)
every_byte=$(printf "$every_byte"x)
names=("$every_byte" "My brother's 12\" *** record  (costs \$\$\$).jpg" '-n' '--' '~' '*' '`id`' '$(id)'
  'c:\windows\system32' $'two\nlines' ' ' '' "'" '"' '\' '{}' '{/}' ':::x' $'\xff\xfe')

printf '%s\0' "${names[@]}" >wanted
map 0 -k -0 printf '%s\0' <wanted
same_file out wanted "names through argv"
map 0 -k -0 --shell "printf '%s\\0'" <wanted
same_file out wanted "names through --shell"
map 0 -k -0 --shell "x={}; printf '%s\\0' \"\$x\"" <wanted
same_file out wanted "names through a variable in --shell"

# A composed command.
map 0 -k --shell 'echo foo; echo {} | tr a-z A-Z' ::: bar
equal "$(cat out)" $'foo\nBAR' "a composed command"
map 0 -k --shell 'echo {/} > {.}.count && cat {.}.count' ::: "$PWD/a b.txt"
equal "$(cat out)" "a b.txt" "redirection to a name made from the input"
map 3 --shell 'exit {}' ::: 1 0 2 3
map 0 -k --shell echo a ::: 'b  c'
equal "$(cat out)" "a b  c" "--shell with several words appends the input"

# A file of each name.
mkdir files
for name in "${names[@]}"; do
  [ -z "$name" ] || case "$name" in */*) ;; *) : >"files/x$name" ;; esac
done
count=$(find files -type f -print0 | tr -dc '\0' | wc -c)
[ "$count" -gt 10 ] || fail "only $count files"
find files -type f -print0 | "$HEDDLE" map -0 rm -- || fail "rm: status $?"
equal "$(find files -type f | wc -l)" 0 "files left over"

# Long inputs: what the job is given counts, not how long the line was.
head -c 100000000 /dev/zero | tr '\0' x | sed 's/^/foo./' >long
map 0 echo {.} <long
equal "$(cat out)" foo "a line of 100 MB of which {.} takes 3 bytes"
head -c 131000 /dev/zero | tr '\0' x >long
map 0 echo <long
equal "$(wc -c <out)" 131001 "the longest word the system takes"
