#!/usr/bin/env bash
# Five minutes of everything that can go wrong: one run on raft and one on etcd and ZooKeeper each, every kind of fault that this
# machine can do. Says where the reports are; exit code 1 if a run did not pass.
set -uo pipefail
cd "$(dirname "$0")/.."
seed=${1:-$((RANDOM % 10000))}
place=${2:-chaos-report}
weir=${WEIR_CHAOS_BINARY:-target/release/weir}
failed=0
run() { # coordination seconds
    echo
    "$weir" chaos run --ha "$1" --duration "$2 s" --workload churn --nemesis all --seed "$seed" --report "$place/$1" || failed=1
}
run raft 120
run etcd 60
run zookeeper 60
echo
echo "Look at these, with a browser:"
realpath "$place"/*/report.html
exit $failed
