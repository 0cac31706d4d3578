#!/usr/bin/env bash
# Clients of Flink's SQL gateway against a cluster of Weir: Flink's SQL client and JDBC driver, a Python client, and dbt. Each also runs
# while the leader is killed (SIGKILL): every row must come once, and the client must not notice.
# Puts 330 MB into the cache once, by Maven and pip. dbt needs a Python from 3.8 to 3.10 (WEIR_DBT_PYTHON). Not a part of CI.
# Usage: ops/sql-clients.sh PATH-OF-WEIR [sql-client|jdbc|python|dbt]...
set -euo pipefail
cd "$(dirname "$0")/.."
source ops/cache.sh
source ops/python.sh
weir=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- sql-client jdbc python dbt
port=${WEIR_CLIENTS_PORT:-18281}
here=$PWD/ops/sql-clients
kept=$weir_cache/sql-clients
place=$(mktemp -d)

cluster= client=
finish() {
    local code=$?
    for process in $client $cluster; do
        kill "$process" 2>/dev/null && wait "$process" || true
    done
    if [ $code -ne 0 ]; then
        echo "sql-clients: failed; what was written is in $place" >&2
    else
        rm -rf "$place"
    fi
    exit $code
}
trap finish EXIT

fail() {
    echo "sql-clients: $*" >&2
    exit 1
}

source "$here/cluster.sh"
source "$here/paging.sh"
start_cluster
for check in "$@"; do
    source "$here/$check.sh"
done
