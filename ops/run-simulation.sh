#!/usr/bin/env bash
# Simulates whole clusters under faults: fresh seeds; some of them twice, whose traces must be the same to the byte; and a death at
# every fourth of the points of a short plan at which a process can die. With --soak: many seeds, every point of a longer plan, the
# scenarios, the planted flaws and a deeper search of the pure cores, on the release binary.
# Usage: ops/run-simulation.sh [--soak] [SEEDS [FIRST_SEED]]; a failing seed is listed with the command that repeats it.
# A seed of 60 simulated seconds costs about six seconds of one core.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
soak=
[ "${1:-}" != --soak ] || { soak=yes; shift; }
if [ -n "$soak" ]; then
    cargo build --release --locked --package weir --package weir-chaos --package weir-sim --bins
    simulator=$target/release/weir-sim seeds=${1:-2000} points=(--seconds 8)
else
    # As `make test` builds: with other targets, features would differ and everything be compiled once more.
    cargo build --workspace --all-targets --locked
    simulator=$target/debug/weir-sim seeds=${1:-60} points=(--seconds 2 --every 4)
fi
first=${2:-$(($(date +%s) % 1000000 * 1000))}
simulate() { "$simulator" "$@" --jobs "$(nproc)"; }
simulate seeds --from "$first" --count "$seeds" --seconds 60
simulate seeds --from "$first" --count "$((seeds / 20 + 2))" --seconds 20 --twice
simulate points --seed 1 "${points[@]}"
[ -n "$soak" ] || exit 0
simulate scenarios
simulate flaws
simulate search --deeper 1
