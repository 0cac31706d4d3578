# Sourced: the Python client py-flink-sql-gateway.
install_from_pypi "$kept/python" py-flink-sql-gateway==0.1.6

# Runs a program.
python_client() {
    PYTHONUNBUFFERED=1 "$kept/python/bin/python3" "$here/$1" "http://$(standby)"
}

python_client python_check.py
page_through_a_kill python python_client python_paging.py
