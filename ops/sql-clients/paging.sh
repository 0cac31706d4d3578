# Sourced: the death of the leader while a client pages through a result.
rows=6000

# The numbers that a client has printed: each on a line, or as the SQL client prints changes.
numbers() {
    sed -n 's/^| +I | *\([0-9]\{1,\}\) |$/\1/; /^[0-9]\{1,\}$/p' "$1"
}

# Kills the leader once the running client has 1000 rows, waits for the client, and says so. The command prints the rows so far, a
# line each: kill_leader_under NAME COMMAND...
kill_leader_under() {
    local name=$1 came
    shift
    until [ "$("$@" | wc -l)" -ge 1000 ]; do
        kill -0 $client 2>/dev/null || fail "$name ended early"
        sleep 0.1
    done
    kill_leader
    # The next leader is there, so it serves the rest.
    came=$("$@" | wc -l)
    [ "$came" -lt $rows ] || fail "$name had all rows before the leader was dead"
    wait $client || fail "$name failed"
    client=
    echo "$name: $came of $rows rows before the next leader"
}

# Runs a client that selects the numbers from 1 to $rows, 500 a second, and prints them as they come. Kills the leader after the first
# ones. page_through_a_kill NAME COMMAND...
page_through_a_kill() {
    local name=$1 printed=$place/$1.printed
    shift
    : >"$printed"
    "$@" >"$printed" 2>"$place/$name.errors" &
    client=$!
    kill_leader_under "$name" numbers "$printed"
    numbers "$printed" | sort -n | cmp - <(seq $rows) || fail "$name has not read every row once"
    echo "$name through the death of the leader: OK"
}
