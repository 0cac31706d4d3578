# Sourced: Flink's SQL client. What it prints for statements.sql is compared with what it prints for Flink's own gateway, version 2.3.0
# (statements.expected).
if [ ! -e "$kept/lib/complete" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kept/lib"
    touch "$kept/lib/complete"
fi
mkdir "$place/conf"
echo '{}' >"$place/conf/config.yaml"

# Runs the statements of a file.
sql_client() {
    FLINK_CONF_DIR=$place/conf TERM=dumb java -Xmx256m -cp "$place/conf:$kept/lib/*" org.apache.flink.table.client.SqlClient gateway \
        --endpoint "$(standby)" --history "$place/history" -f "$1"
}

sql_client "$here/statements.sql" >"$place/printed" 2>&1
sed -f "$here/normalize.sed" "$place/printed" | diff "$here/statements.expected" -
echo "SQL client: OK"

page_through_a_kill sql-client sql_client "$here/paging.sql"
# The client ends with 0 after an error too.
grep -q "^Received a total of $rows rows" "$place/sql-client.printed" || fail "the SQL client did not end well"
! grep -F '[ERROR]' "$place/sql-client.printed" || fail "the SQL client saw an error"
