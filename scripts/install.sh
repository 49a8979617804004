#!/usr/bin/env bash
# install.sh install|uninstall: puts what `make build` made where other users and programs find it, or takes it away.
# PREFIX=/usr/local and SYSCONFDIR=/etc unless told; DESTDIR goes in front of both. Tokens and configuration stay.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prefix=${PREFIX:-/usr/local}
module=$prefix/lib/pkcs11/libtrellis_pkcs11.so
documents=$prefix/share/doc/trellis
# The system-wide registry of p11-kit, for what is not a package of the distribution.
registered=${SYSCONFDIR:-/etc}/pkcs11/modules/trellis.module
shells=(
    "bash $prefix/share/bash-completion/completions/trellis"
    "zsh $prefix/share/zsh/site-functions/_trellis"
    "fish $prefix/share/fish/vendor_completions.d/trellis.fish"
)
to() { echo "${DESTDIR:-}$1"; }

install_all() {
    [[ -r $TRELLIS_MODULE && -x $TRELLIS_CLI ]] || die "there is nothing to install in $target/release; type: make build"
    install -D -m 755 "$TRELLIS_MODULE" "$(to "$module")"
    # What slots over a TPM load, where it was built.
    [[ ! -r $(dirname "$TRELLIS_MODULE")/libtrellis_tpm.so ]] ||
        install -D -m 755 "$(dirname "$TRELLIS_MODULE")/libtrellis_tpm.so" "$(to "$(dirname "$module")/libtrellis_tpm.so")"
    install -D -m 755 "$TRELLIS_CLI" "$(to "$prefix/bin/trellis")"
    ln -sf trellis "$(to "$prefix/bin/pq-attest")"
    local file shell path
    # What names the module names it where it now is.
    (cd "$top/packaging" && find . -type f) | while read -r file; do
        install -d "$(dirname "$(to "$documents/$file")")"
        sed -e "s|/usr/lib/x86_64-linux-gnu/pkcs11/libtrellis_pkcs11.so|$module|" -e "s|/usr/bin/trellis|$prefix/bin/trellis|" \
            "$top/packaging/$file" >"$(to "$documents/$file")"
        chmod 644 "$(to "$documents/$file")"
    done
    install -D -m 644 "$(to "$documents/p11-kit/trellis.module")" "$(to "$registered")"
    for shell in "${shells[@]}"; do
        read -r shell path <<<"$shell"
        install -d "$(dirname "$(to "$path")")"
        "$TRELLIS_CLI" completions "$shell" >"$(to "$path")"
        chmod 644 "$(to "$path")"
    done
    echo "module:   $module, registered with p11-kit by $registered"
    echo "command:  $prefix/bin/trellis, also as pq-attest"
    echo "examples: $documents (configuration for OpenSSL, nginx, ssh, systemd; trellis.toml)"
}

uninstall_all() {
    local shell path
    rm -f "$(to "$(dirname "$module")/libtrellis_tpm.so")"
    rm -f "$(to "$module")" "$(to "$prefix/bin/trellis")" "$(to "$prefix/bin/pq-attest")" "$(to "$registered")"
    rm -rf "$(to "$documents")"
    for shell in "${shells[@]}"; do
        read -r shell path <<<"$shell"
        rm -f "$(to "$path")"
    done
}

case ${1:-} in
    install) install_all ;;
    uninstall) uninstall_all ;;
    *) die "say install or uninstall" ;;
esac
