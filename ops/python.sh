# Sourced: install_from_pypi DIRECTORY REQUIREMENT... makes a virtual environment with these packages, unless it is there.
install_from_pypi() {
    local directory=$1 stamp=$1/installed
    shift
    # Without its interpreter, which an upgrade may remove, the environment is of no use.
    [ ! -x "$directory/bin/python3" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
    echo "installing $* into $directory"
    rm -rf "$directory"
    mkdir -p "$(dirname "$directory")"
    python3 -m venv "$directory" && "$directory/bin/pip" install --quiet --no-compile --disable-pip-version-check "$@" || return
    printf '%s' "$*" >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
