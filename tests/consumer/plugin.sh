#!/usr/bin/env bash
# Builds two plugins against the installed shared library, and a program that loads them.
# usage: plugin.sh COMPILER SOURCES PREFIX LIBDIR WORK
set -euo pipefail
compiler=$1 sources=$2 prefix=$3 libdir=$4 work=$5

mkdir -p "$work"
for name in one two; do
  "$compiler" -std=c++20 -O2 -fPIC -fvisibility=hidden -shared "$sources/plugin.cpp" \
    -I "$prefix/include" -L "$prefix/$libdir" -lheddle "-Wl,-rpath,$prefix/$libdir" \
    -o "$work/plugin_$name.so"
done
"$compiler" -std=c++20 "$sources/host.cpp" -pthread -ldl -o "$work/host"
"$work/host" "$work/plugin_one.so" "$work/plugin_two.so"
