# shellcheck shell=bash
# What every script here shares: where things are, how to speak, how to get Debian packages.
# Sourced, never run. Everything a second run can reuse lives in $TRELLIS_CACHE, outside the tree.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TRELLIS_CACHE=${TRELLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trellis}
target=${CARGO_TARGET_DIR:-$top/target}
# What was built here, whatever module the caller's environment names.
TRELLIS_MODULE=$target/release/libtrellis_pkcs11.so
TRELLIS_CLI=$target/release/trellis
export TRELLIS_CACHE TRELLIS_MODULE TRELLIS_CLI
mkdir -p "$TRELLIS_CACHE"
TRELLIS_CACHE=$(cd "$TRELLIS_CACHE" && pwd)

# One heading on standard output.
say() { printf '\n== %s\n' "$*"; }

# Something the reader must know, on standard error.
warn() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# The cause and the remedy on standard error, then exit 1.
die() {
    warn "$*"
    exit 1
}

# quietly LOG COMMAND... : runs COMMAND with its output in LOG, which is shown only if it fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null && return
    local rc=$?
    cat "$log" >&2
    return "$rc"
}

# need_packages PACKAGE... : returns with every Debian package installed, or stops and says what to type.
need_packages() {
    command -v dpkg-query >/dev/null || die "this is not a Debian system; install the equivalents of: $*"
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    local as_root=()
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || die "missing Debian packages; type this, then run me again:
    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    echo "installing Debian packages: ${missing[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
    # Unlike the lock of dpkg, that of the package lists is not waited for by apt itself.
    local try
    for try in 1 2 3 4 5; do
        "${apt[@]}" update >"$TRELLIS_CACHE/apt-update.log" 2>&1 </dev/null && break
        ((try < 5)) || { cat "$TRELLIS_CACHE/apt-update.log" >&2; return 1; }
        sleep 10
    done
    quietly "$TRELLIS_CACHE/apt-install.log" "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}
