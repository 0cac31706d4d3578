#!/usr/bin/env bash
# Regenerates the stored results with Apache Flink 2.3.0, or a part of them: run.sh probes|scripts [FILE...].
# FLINK_HOME must hold Flink's lib/ folder; Java 17 with javac is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lib=${FLINK_HOME:?set FLINK_HOME to an unpacked Flink 2.3.0}/lib
out=${CLASSES:-$(mktemp -d)}
mkdir -p "$out"
classpath=$(printf '%s:' "$lib"/flink-*.jar "$lib"/log4j-*.jar)
javac -nowarn -cp "$classpath" -d "$out" "$here/RunSql.java"
opens=(--add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED
  --add-opens=java.base/java.time=ALL-UNNAMED --add-opens=java.base/java.net=ALL-UNNAMED --add-opens=java.base/sun.net.util=ALL-UNNAMED)
run() {
  TZ=UTC nice -n "${NICE:-10}" java "${opens[@]}" -Xmx${HEAP:-1500m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Duser.timezone=UTC -Dfile.encoding=UTF-8 \
    -Dlog4j.configurationFile="$here/log4j2.properties" -cp "$out:$classpath" RunSql "$@"
}
what=${1:-all}; shift || true
case $what in
  probes) [ $# -gt 0 ] || set -- "$here"/../probes/*.probes; run probes "$@" ;;
  scripts) [ $# -gt 0 ] || set -- "$here"/../queries/*.sql; run scripts "$here/../data" "$@" ;;
  serve) run serve "$@" ;;
  all) run probes "$here"/../probes/*.probes; run scripts "$here/../data" "$here"/../queries/*.sql ;;
esac
