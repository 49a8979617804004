#!/usr/bin/env bash
# From nothing to a token with an ML-DSA-65 and an Ed25519 key: builds, makes what is missing, signs a file with each
# key through PKCS#11, verifies each signature elsewhere, and says what to type next. Run again, it reuses the token.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

token=quickstart
data=${XDG_DATA_HOME:-$HOME/.local/share}/trellis
config=${XDG_CONFIG_HOME:-$HOME/.config}/trellis
work=$data/quickstart
pin=$config/$token.pin
so_pin=$config/$token.so-pin
trellis=$TRELLIS_CLI
# Where the usual slot has another token already, this one gets a configuration with a slot of its own.
own_config=$config/quickstart.toml
# The tools are to find what was built here.
export TRELLIS_MODULE

main() {
    say "Debian packages"
    # All at once, so that whoever is not root is asked once.
    local packages=(opensc openssl)
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    python3 -c "import ensurepip, venv" 2>/dev/null || packages+=(python3-venv)
    need_packages "${packages[@]}"
    say "Release module and command (the first time takes minutes)"
    "$top/scripts/build.sh"
    say "Token"
    umask 077
    mkdir -p "$data" "$config" "$work"
    if [[ -e $own_config ]]; then export TRELLIS_CONF=$own_config; fi
    make_token
    make_key ml-dsa-65
    make_key ed25519
    say "Signatures"
    sign_and_verify
    next_steps
}

# A token that exists is used as it is; a PIN is never written over.
make_token() {
    local rc=0
    "$trellis" token show --token "$token" >"$work/log" 2>&1 || rc=$?
    case $rc in
        0)
            [[ -r $pin ]] || die "there is a token \"$token\" already, but not its PIN in $pin; put the PIN there, in one line"
            echo "token \"$token\" is there already"
            ;;
        4)
            has_free_slot || use_own_slot
            made=()
            make_pin "$so_pin"
            make_pin "$pin"
            "$trellis" token init --label "$token" --so-pin-source "file:$so_pin" --pin-source "file:$pin" || {
                rc=$?
                # PINs of no token would only mislead.
                rm -f "${made[@]}"
                exit "$rc"
            }
            ;;
        *)
            cat "$work/log" >&2
            exit "$rc"
            ;;
    esac
    echo "its PIN is in $pin, the PIN that resets it in $so_pin, in clear: no other user can read them, a thief of the disk can"
}

has_free_slot() {
    "$trellis" --json token list | python3 -c 'import json, sys
sys.exit(all(token["initialized"] for token in json.load(sys.stdin)["tokens"]))'
}

use_own_slot() {
    printf '[[slot]]\nid = 1\nbackend = "embedded"\npath = "%s"\ndescription = "quickstart"\n' "$work/token" >"$own_config"
    export TRELLIS_CONF=$own_config
    echo "the usual slot has another token, which stays as it is; this one is configured by $own_config"
}

# 128 random bits, in a file that only its owner can read; `made` lists the files that were not there before.
make_pin() {
    [[ -e $1 ]] && return
    (set -o noclobber && head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1")
    made+=("$1")
}

make_key() {
    local rc=0
    "$trellis" key show "$1" --token "$token" --pin-source "file:$pin" >"$work/log" 2>&1 || rc=$?
    case $rc in
        0) echo "key \"$1\" is there already" ;;
        4) "$trellis" key generate --algorithm "$1" --label "$1" --token "$token" --pin-source "file:$pin" ;;
        *)
            cat "$work/log" >&2
            exit "$rc"
            ;;
    esac
}

# What is signed is a real file: the checksums of the two programs that were built.
sign_and_verify() {
    local python key id
    python=$("$top/scripts/python-env.sh")
    (cd "$target/release" && sha256sum libtrellis_pkcs11.so trellis) >"$work/SHA256SUMS"
    cd "$work"
    for key in ml-dsa-65 ed25519; do
        "$trellis" key export-public "$key" --token "$token" --pin-source "file:$pin" --out "$work/$key.pem.new" >"$work/log"
        mv "$work/$key.pem.new" "$work/$key.pem"
    done
    PIN=$(<"$pin")
    export PIN

    # python-pkcs11 signs by aws-lc inside the module; OpenSSL inside `cryptography` verifies.
    quietly "$work/log" "$python" "$top/examples/python/sign.py" "$token" ml-dsa-65 SHA256SUMS SHA256SUMS.ml-dsa-65
    quietly "$work/log" "$python" "$top/examples/python/verify.py" ml-dsa-65.pem SHA256SUMS SHA256SUMS.ml-dsa-65
    echo "ML-DSA-65: python-pkcs11 signed $work/SHA256SUMS, OpenSSL (in python's cryptography) verified it"

    id=$("$trellis" --json key show ed25519 --token "$token" --pin-source "file:$pin" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
    quietly "$work/log" pkcs11-tool --module "$TRELLIS_MODULE" --token-label "$token" --login --pin env:PIN \
        --sign --id "$id" --mechanism EDDSA --input-file SHA256SUMS --output-file SHA256SUMS.ed25519
    quietly "$work/log" openssl pkeyutl -verify -rawin -pubin -inkey ed25519.pem -in SHA256SUMS -sigfile SHA256SUMS.ed25519
    echo "Ed25519:   pkcs11-tool signed it, OpenSSL ($(openssl version | cut -d' ' -f2)) verified it"
    unset PIN
    rm -f "$work/log"
}

next_steps() {
    # p11-kit reads no configuration of its user for root.
    local proxy_dir=${XDG_CONFIG_HOME:-$HOME/.config}/pkcs11/modules
    [[ $(id -u) != 0 ]] || proxy_dir=/etc/pkcs11/modules
    sed -e "s|^pkcs11-module-path.*|pkcs11-module-path = $TRELLIS_MODULE|" \
        -e "s|^pkcs11-module-token-pin.*|pkcs11-module-token-pin = file:$pin|" \
        "$top/packaging/openssl/provider.cnf" >"$config/openssl.cnf"
    cat <<NEXT

== Ready. What to type next
  export TRELLIS_MODULE=$TRELLIS_MODULE
  export PIN=\$(cat $pin)
${TRELLIS_CONF:+  export TRELLIS_CONF=$TRELLIS_CONF
}
trellis
  $trellis key list --token $token --pin-source file:$pin
  $trellis doctor
pkcs11-tool
  pkcs11-tool --module \$TRELLIS_MODULE --token-label $token --login --pin env:PIN --list-objects
OpenSSL 3.6 with pkcs11-provider 1.3 (an older OpenSSL has no ML-DSA; packaging/openssl/ says what it can do)
  OPENSSL_CONF=$config/openssl.cnf openssl req -x509 -subj /CN=me -out me.pem \\
      -key 'pkcs11:token=$token;object=ml-dsa-65;type=private'
ssh (before 10.1 it takes no Ed25519 keys from a token; the first line makes one that it does take)
  $trellis key generate --algorithm p256 --label ssh --token $token --pin-source file:$pin
  ssh-keygen -D \$TRELLIS_MODULE                    # the lines for authorized_keys
  ssh -I \$TRELLIS_MODULE user@host
p11-kit, for GnuTLS and all that use it
  mkdir -p $proxy_dir
  echo "module: \$TRELLIS_MODULE" >$proxy_dir/trellis.module
  p11-kit list-modules
NEXT
}

main
