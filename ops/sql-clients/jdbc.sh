# Sourced: Flink's JDBC driver.
if [ ! -e "$kept/jdbc/complete" ]; then
    for artifact in org.apache.flink:flink-sql-jdbc-driver-bundle:2.3.0 org.slf4j:slf4j-api:1.7.36; do
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="$artifact" -DoutputDirectory="$kept/jdbc"
    done
    touch "$kept/jdbc/complete"
fi

# Runs a program.
jdbc() {
    java --add-opens java.base/java.nio=ALL-UNNAMED --add-opens java.base/java.util=ALL-UNNAMED -cp "$kept/jdbc/*" \
        "$here/$1" "jdbc:flink://$(standby)"
}

jdbc JdbcCheck.java
page_through_a_kill jdbc jdbc JdbcPaging.java
