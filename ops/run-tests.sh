#!/usr/bin/env bash
# Runs every test: with nextest where it is installed, with cargo's own runner elsewhere. Arguments go to the runner.
# With CI set, tests with real processes are tried up to three times; what needed that, and what took longest, is listed at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
source ops/cache.sh
export PATH="$weir_cache/nextest/bin:$PATH"
if ! cargo nextest --version >/dev/null 2>&1; then
    exec cargo test --workspace --all-targets --locked "$@"
fi
profile=default
[ -z "${CI:-}" ] || profile=ci
report=${CARGO_TARGET_DIR:-target}/nextest/$profile/junit.xml
rm -f "$report"
cargo nextest run --workspace --locked --profile "$profile" "$@"
code=$?
if [ -e "$report" ]; then
    python3 ops/test-report.py "$report" | tee "${WEIR_TEST_REPORT:-/dev/null}" || code=1
fi
exit $code
