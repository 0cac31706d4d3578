# Sourced: the death of the leader while a client pages through a result.
rows=6000

# The numbers that a client has printed: each on a line, or as the SQL client prints changes.
numbers() {
    sed -n 's/^| +I | *\([0-9]\{1,\}\) |$/\1/; /^[0-9]\{1,\}$/p' "$1"
}

# Runs a client that selects the numbers from 1 to $rows, 500 a second, and prints them as they come. Kills the leader after the first
# ones. page_through_a_kill NAME COMMAND...
page_through_a_kill() {
    local name=$1 printed=$place/$1.printed came
    shift
    : >"$printed"
    "$@" >"$printed" 2>"$place/$name.errors" &
    client=$!
    until [ "$(numbers "$printed" | wc -l)" -ge 1000 ]; do
        kill -0 $client 2>/dev/null || fail "$name ended early"
        sleep 0.1
    done
    kill_leader
    # The next leader is there, so it serves the rest.
    came=$(numbers "$printed" | wc -l)
    [ "$came" -lt $rows ] || fail "$name has read all rows before the leader was dead"
    wait $client || fail "$name failed"
    client=
    numbers "$printed" | sort -n | cmp - <(seq $rows) || fail "$name has not read every row once"
    echo "$name through the death of the leader: OK, $came of $rows rows before the next leader"
}
