# Sourced: install_from_pypi DIRECTORY REQUIREMENT... makes a virtual environment with these packages, unless it is there.
install_from_pypi() {
    local directory=$1 stamp=$1/installed
    shift
    # Without its interpreter, which an upgrade may remove, the environment is of no use.
    [ ! -x "$directory/bin/python3" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
    echo "installing $* into $directory"
    # Only what a virtual environment consists of: others may keep something beside it.
    rm -rf "$directory"/{bin,include,lib,lib64,share,pyvenv.cfg,installed}
    mkdir -p "$(dirname "$directory")"
    python3 -m venv "$directory" && "$directory/bin/pip" install --quiet --no-compile --disable-pip-version-check "$@" || return
    printf '%s' "$*" >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
