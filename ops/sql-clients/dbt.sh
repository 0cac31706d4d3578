# Sourced: dbt with dbt-flink-adapter. Its project has a source, a view, and a streaming table that dbt waits for.

# Prints an interpreter that the adapter and its dbt run with: dataclasses of Python 3.11 refuse them.
python_for_dbt() {
    local python pythons=(python3.{10,9,8} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.{10,9,8}.*/bin/python3)
    for python in ${WEIR_DBT_PYTHON:-"${pythons[@]}"}; do
        "$python" --version >/dev/null 2>&1 && echo "$python" && return
    done
    return 1
}

if [ ! -e "$kept/dbt/complete" ]; then
    python=$(python_for_dbt) || fail "dbt needs a Python from 3.8 to 3.10: set WEIR_DBT_PYTHON"
    "$python" -m venv "$kept/dbt"
    "$kept/dbt/bin/pip" install --quiet --disable-pip-version-check wheel
    "$kept/dbt/bin/pip" install --quiet --disable-pip-version-check dbt-flink-adapter==1.3.11
    touch "$kept/dbt/complete"
fi

# Runs the project in a directory of its own. The table's rows go to a directory.
dbt_run() {
    local gateway
    gateway=$(standby)
    cp -r "$here/dbt" "$1.project"
    # The adapter keeps the session's handle in the home directory.
    mkdir -p "$1.home/.dbt"
    cd "$1.project"
    HOME=$1.home DBT_SEND_ANONYMOUS_USAGE_STATS=false DBT_PROFILES_DIR=. \
        GATEWAY_HOST=${gateway%:*} GATEWAY_PORT=${gateway#*:} WRITTEN=$1 "$kept/dbt/bin/dbt" --no-version-check run
}

# The numbers that a run has written so far.
dbt_numbers() {
    find "$1" -name 'part-*' -exec cat {} + 2>/dev/null | cut -d, -f1
}

# Checks what a run has written and printed.
check_dbt() {
    dbt_numbers "$1" | sort -n | cmp - <(seq $rows) || fail "the rows of dbt's table are wrong"
    grep -q 'PASS=3 WARN=0 ERROR=0 SKIP=0 TOTAL=3' "$1.printed" || fail "dbt did not run every model"
}

(dbt_run "$place/dbt") >"$place/dbt.printed" 2>&1 || fail "dbt failed"
check_dbt "$place/dbt"
echo "dbt: OK"

# dbt waits for the job of its table. The model after it runs under the next leader.
dbt_run "$place/dbt-killed" >"$place/dbt-killed.printed" 2>&1 &
client=$!
kill_leader_under dbt dbt_numbers "$place/dbt-killed"
check_dbt "$place/dbt-killed"
echo "dbt through the death of the leader: OK"
