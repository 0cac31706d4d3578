#!/usr/bin/env bash
# Broken clusters for as long as you like: runs of five minutes over raft, etcd and ZooKeeper, half of them under every kind of fault,
# half under deaths alone, with seeds of their own; then what came of them all.
# Usage: ops/soak.sh MINUTES [DIRECTORY]. Reports go to DIRECTORY (weir-soak). It can be called several times at once, with the same directory.
set -uo pipefail
minutes=${1:?for how many minutes? Usage: ops/soak.sh MINUTES [DIRECTORY]}
place=${2:-weir-soak}
weir=${WEIR_CHAOS_BINARY:-$(dirname "$0")/../target/release/weir}
deaths=kill-leader,terminate-leader,kill-taskmanager,kill-all-jobmanagers
mkdir -p "$place"
trap 'exit 130' INT
turn=0
while [ $((SECONDS / 60)) -lt "$minutes" ]; do
    coordinations=(raft etcd zookeeper)
    nemeses=(all "$deaths")
    workloads=(counting churn sql kafka)
    ha=${coordinations[turn % 3]}
    seed=$((RANDOM * 32768 + RANDOM))
    "$weir" chaos run --ha "$ha" --nemesis "${nemeses[turn % 2]}" --workload "${workloads[turn / 6 % 4]}" \
        --duration "300 s" --rate 20000 --seed "$seed" --report "$place/$ha-$seed" >"$place/$ha-$seed.log" 2>&1
    code=$?
    echo "$(date +%T) $ha $seed: exit code $code"
    turn=$((turn + 1))
done
exec python3 "$(dirname "$0")/soak_sums.py" "$place"
