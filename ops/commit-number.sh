#!/usr/bin/env bash
# Prints a number that differs from commit to commit, so that what is drawn with it is another each time and can be repeated.
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short=6 HEAD 2>/dev/null) || commit=$(date +%s | tail -c 7)
echo $((16#${commit:0:6}))
