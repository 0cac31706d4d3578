#!/usr/bin/env bash
# The figures of docs/measurements.md, on this machine. Takes some minutes; run it on a quiet one.
set -euo pipefail
cd "$(dirname "$0")/.."
release="${CARGO_TARGET_DIR:-target}/release/examples"
bids=$(mktemp --suffix .csv)
trap 'rm -f "$bids"' EXIT

echo "== fenced commits"
"$release/commit_bench" raft
"$release/commit_bench" etcd
"$release/commit_bench" zookeeper
echo "== failover of a cluster of processes"
"$release/measure" failover 20
"$release/measure" failover 20 fast
for store in etcd zookeeper; do
    "$release/measure" failover 20 $store
    "$release/measure" failover 20 fast $store
done
echo "== submission and idle memory"
"$release/measure" submit 10
"$release/measure" memory
echo "== a thousand jobs with a checkpoint each second"
"$release/measure" jobs 1000 60
echo "== a copy of the coordination store for a snapshot"
"$release/snapshot_bench" 200000
echo "== 10 million rows of CSV into 10 s windows into CSV"
python3 ops/make-bids.py 10000000 "$bids"
"$release/measure" csv "$bids" 10000000 1 3
"$release/measure" csv "$bids" 10000000 2 3
