#!/usr/bin/env bash
# Clients of Flink's SQL gateway against a cluster of Weir: Flink's SQL client and JDBC driver, and a Python client. Compares what the
# SQL client prints with what it printed for Flink's own gateway, version 2.3.0 (ops/sql-clients/statements.expected).
# Downloads 190 MB once, by Maven and pip, into the cache. Not a part of CI.
# Usage: ops/sql-clients.sh PATH-OF-WEIR
set -euo pipefail
cd "$(dirname "$0")/.."
source ops/cache.sh
weir=$(realpath "$1")
port=${WEIR_CLIENTS_PORT:-18281}
here=$PWD/ops/sql-clients
kept=$weir_cache/sql-clients
place=$(mktemp -d)

cluster=
finish() {
    local code=$?
    if [ -n "$cluster" ]; then
        kill "$cluster" 2>/dev/null && wait "$cluster" || true
    fi
    if [ $code -ne 0 ]; then
        echo "sql-clients: failed; what was written is in $place" >&2
    else
        rm -rf "$place"
    fi
    exit $code
}
trap finish EXIT

if [ ! -e "$kept/complete" ]; then
    mkdir -p "$kept"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kept/lib"
    for artifact in flink-sql-jdbc-driver-bundle:2.3.0 slf4j-api:1.7.36; do
        group=$([[ $artifact == slf4j* ]] && echo org.slf4j || echo org.apache.flink)
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="$group:$artifact" -DoutputDirectory="$kept/jdbc"
    done
    python3 -m venv "$kept/python"
    "$kept/python/bin/pip" install --quiet py-flink-sql-gateway==0.1.6
    touch "$kept/complete"
fi

"$weir" local --dir "$place/cluster" --rest-port "$port" >"$place/cluster.log" 2>&1 &
cluster=$!
# Any JobManager will do; the last one is seldom the leader.
gateway=127.0.0.1:$((port + 2))
until curl --silent --fail "http://$gateway/overview" >"$place/overview"; do
    kill -0 "$cluster"
    sleep 0.2
done

mkdir "$place/conf"
echo '{}' >"$place/conf/config.yaml"
FLINK_CONF_DIR=$place/conf TERM=dumb java -Xmx256m -cp "$place/conf:$kept/lib/*" org.apache.flink.table.client.SqlClient gateway \
    --endpoint "$gateway" --history "$place/history" -f "$here/statements.sql" >"$place/printed" 2>&1
sed -f "$here/normalize.sed" "$place/printed" | diff "$here/statements.expected" -
echo "SQL client: OK"
java --add-opens java.base/java.nio=ALL-UNNAMED --add-opens java.base/java.util=ALL-UNNAMED -cp "$kept/jdbc/*" \
    "$here/JdbcCheck.java" "jdbc:flink://$gateway"
"$kept/python/bin/python" "$here/python_check.py" "http://$gateway"
