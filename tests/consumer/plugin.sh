#!/usr/bin/env bash
# Builds plugins against the installed shared library, and a program that loads them.
# usage: plugin.sh COMPILER SOURCES PREFIX LIBDIR WORK
set -euo pipefail
compiler=$1 sources=$2 prefix=$3 libdir=$4 work=$5

mkdir -p "$work"
plugin() { # NAME SOURCE
  "$compiler" -std=c++20 -O2 -fPIC -fvisibility=hidden -shared "$sources/$2" \
    -I "$prefix/include" -L "$prefix/$libdir" -lheddle "-Wl,-rpath,$prefix/$libdir" \
    -o "$work/plugin_$1.so"
}
plugin one plugin.cpp
plugin two plugin.cpp
plugin unloaded unloaded.cpp
"$compiler" -std=c++20 "$sources/host.cpp" -pthread -ldl -o "$work/host"
"$work/host" "$work/plugin_one.so" "$work/plugin_two.so" "$work/plugin_unloaded.so"
