#!/usr/bin/env bash
# Five minutes of everything that can go wrong: runs on raft, etcd and ZooKeeper, of graphs, of SQL and of Kafka, with every kind of fault
# that this machine can do. Says where the reports are; exit code 1 if a run did not pass.
set -uo pipefail
cd "$(dirname "$0")/.."
seed=${1:-$((RANDOM % 10000))}
place=${2:-chaos-report}
weir=${WEIR_CHAOS_BINARY:-target/release/weir}
failed=0
run() { # coordination workload seconds
    echo
    "$weir" chaos run --ha "$1" --duration "$3 s" --workload "$2" --nemesis all --seed "$seed" --report "$place/$1-$2" || failed=1
}
run raft churn 90
run raft sql 30
run raft kafka 30
run etcd churn 40
run etcd sql 20
run zookeeper churn 40
run zookeeper sql 20
echo
echo "Look at these, with a browser:"
realpath "$place"/*/report.html
exit $failed
