#!/usr/bin/env bash
# The installed shared library needs the C++ runtime and nothing else, and of its own symbols shows
# only what lies in namespace heddle. usage: shared_library.sh PREFIX/LIBDIR
set -euo pipefail
library=$1/libheddle.so
failures=0

while read -r needed; do
  case $needed in
    libstdc++.so.* | libm.so.* | libgcc_s.so.* | libc.so.* | libpthread.so.* | ld-linux*) ;;
    *) echo "it needs $needed"; failures=1 ;;
  esac
done < <(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')

# Weak symbols are left out: templates of the standard library are shown whatever we say.
mapfile -t shown < <(nm -D --defined-only "$library" | awk '$2 ~ /^[A-Z]$/ && $2 !~ /[WVuU]/ {print $3}')
((${#shown[@]})) || { echo "it shows no symbol at all"; failures=1; }
for symbol in "${shown[@]}"; do
  [[ $symbol == *6heddle* ]] || { echo "it shows $symbol"; failures=1; }
done

readelf -d "$library" | grep -q 'SONAME.*libheddle\.so\.[0-9]' || { echo "it has no versioned soname"; failures=1; }
exit $failures
