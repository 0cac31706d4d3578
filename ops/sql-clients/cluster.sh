# Sourced: a cluster of three JobManagers, and the death of its leader.

# Starts the cluster and waits until it has a leader.
start_cluster() {
    "$weir" local --dir "$place/cluster" --rest-port "$port" >"$place/cluster.log" 2>&1 &
    cluster=$!
    leader >/dev/null || fail "the cluster has no leader"
}

# Prints epoch, name and REST address of the leader, once there is one.
leader() {
    local jobmanagers=127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))
    "$weir" ha status --jobmanager "$jobmanagers" --timeout '60 s' --output json 2>>"$place/status.log" | python3 -c '
import json, sys
leader = json.load(sys.stdin)["leader"]
print(leader["epoch"], leader["name"], leader["rest_address"])'
}

# Prints the REST address of a JobManager that does not lead. It passes requests on, and lets them wait while there is no leader.
standby() {
    local address leading
    leading=$(leader)
    for address in 127.0.0.1:{$port,$((port + 1))}; do
        [[ $leading == *" $address" ]] || break
    done
    echo "$address"
}

# Kills the leading JobManager and waits until another one leads. (`weir local` starts the dead one again, as a standby.)
kill_leader() {
    local before after epoch name pid
    before=$(leader)
    read -r epoch name _ <<<"$before"
    pid=$(pgrep --parent "$cluster" --full "conf/$name.yaml")
    kill -KILL "$pid"
    until after=$(leader) && [ "${after%% *}" -gt "$epoch" ]; do
        kill -0 "$cluster" || fail "the cluster has ended"
        sleep 0.1
    done
    [[ $after != *" $name "* ]] || fail "$name leads again"
    echo "killed the leader: epoch $before; then epoch $after"
}
