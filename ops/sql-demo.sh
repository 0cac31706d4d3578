#!/usr/bin/env bash
# A SQL script over real data: starts a cluster of its own, runs docs/sql/examples/flights.sql on it, and shows the first rows.
# Usage: ops/sql-demo.sh PATH-OF-WEIR
set -euo pipefail
cd "$(dirname "$0")/.."
weir=$1
port=${WEIR_DEMO_PORT:-18081}
place=$(mktemp -d)
began=$SECONDS

cluster=
finish() {
    local code=$?
    if [ -n "$cluster" ]; then
        kill "$cluster" 2>/dev/null && wait "$cluster" || true
    fi
    if [ $code -ne 0 ]; then
        echo "sql-demo: failed; what was written is in $place" >&2
    else
        rm -rf "$place"
    fi
    exit $code
}
trap finish EXIT

mkdir -p "$place/flights"
gunzip -c client/examples/data/flights-*.csv.gz | grep -v '^scheduled' | LC_ALL=C sort >"$place/flights/flights.csv"
echo "$(wc -l <"$place/flights/flights.csv") flights; starting a cluster of three JobManagers and two TaskManagers"
"$weir" local --dir "$place/cluster" --rest-port "$port" >"$place/cluster.log" 2>&1 &
cluster=$!

sed "s|/tmp/weir-tutorial|$place|" docs/sql/examples/flights.sql >"$place/flights.sql"
if ! "$weir" sql -f "$place/flights.sql" -m "127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))"; then
    tail -n 5 "$place/cluster.log" >&2
    exit 1
fi

rows() {
    find "$1" -type f -not -name '.*' -exec cat {} +
}
echo
echo "The worst days (day, airport, departures, cancelled, mean delay, worst delay in minutes), of $(rows "$place/daily" | wc -l):"
rows "$place/daily" | LC_ALL=C sort -t, -k5,5nr -k1,2 | sed -n '1,5s/^/  /p'
echo "The latest flights, of $(rows "$place/very-late" | wc -l) that were more than ten hours late:"
rows "$place/very-late" | LC_ALL=C sort | sed -n '1,3s/^/  /p'
echo
echo "After $((SECONDS - began)) s. The script is docs/sql/examples/flights.sql; docs/sql/tutorial.md goes on from there."
