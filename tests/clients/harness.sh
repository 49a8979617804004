# shellcheck shell=bash
# The words that a client case is written in: check, check_output, check_fails, new_token, serve.
# run.sh starts every case with a private $WORK (removed afterwards), which is also its $HOME, and with
# $MODULE, $CLI and $PROJECT, the top of this tree. A case fails when one of its checks fails or when it made none; exit 77 means it cannot run.

set -euo pipefail
cd "$WORK"
umask 077

PIN=user-pin-2468
SO_PIN=so-pin-13579
export PIN SO_PIN
checks=0
failures=0

# check NAME COMMAND... : COMMAND must succeed.
check() {
    local name=$1 rc=0
    shift
    checks=$((checks + 1))
    "$@" >"$WORK/output" 2>&1 </dev/null || rc=$?
    if ((rc == 0)); then
        echo "  ok    $name"
    else
        fail "$name" "$*: exit status $rc"
    fi
}

# check_output NAME REGEX COMMAND... : COMMAND must succeed and print a line that matches REGEX.
check_output() {
    local name=$1 regex=$2 rc=0
    shift 2
    checks=$((checks + 1))
    "$@" >"$WORK/output" 2>&1 </dev/null || rc=$?
    if ((rc != 0)); then
        fail "$name" "$*: exit status $rc"
    elif ! grep -qE -- "$regex" "$WORK/output"; then
        fail "$name" "$*: no line matches $regex"
    else
        echo "  ok    $name"
    fi
}

# check_fails NAME REGEX COMMAND... : COMMAND must fail, by itself and not by a signal, and print a line that matches REGEX.
check_fails() {
    local name=$1 regex=$2 rc=0
    shift 2
    checks=$((checks + 1))
    "$@" >"$WORK/output" 2>&1 </dev/null || rc=$?
    if ((rc == 0)); then
        fail "$name" "$*: succeeded"
    elif ((rc > 128 && rc < 193)); then
        fail "$name" "$*: killed by signal $((rc - 128))"
    elif ! grep -qE -- "$regex" "$WORK/output"; then
        fail "$name" "$*: no line matches $regex"
    else
        echo "  ok    $name"
    fi
}

# After three failures the rest of a case only repeats their cause.
fail() {
    failures=$((failures + 1))
    echo "  FAIL  $1"
    echo "        $2"
    tail -n 20 "$WORK/output" | sed 's/^/        | /'
    if ((failures == 3)); then
        echo "  stopped after three failures"
        exit 1
    fi
}

cannot_run() {
    echo "  $*"
    exit 77
}

# new_token LABEL [LINES_COMMAND] : an initialised token with $PIN and $SO_PIN in a store of its own: the embedded one, or
# the one whose lines of the [[slot]] the command prints (stores.sh has such commands). The same cases run
# against SoftHSM and Kryoptic, which tells a client's fault from ours, so their configuration is written too.
new_token() {
    TOKEN=$1
    export TRELLIS_CONF=$WORK/trellis.toml SOFTHSM2_CONF=$WORK/softhsm2.conf KRYOPTIC_CONF=$WORK/kryoptic.conf TOKEN
    mkdir -p "$WORK/store"
    printf '[[slot]]\nid = 1\npath = "%s"\n' "$WORK/store/trellis" >"$TRELLIS_CONF"
    "${2:-embedded_slot}" >>"$TRELLIS_CONF" || { echo "  FAIL  ${2:-} gives no slot" && exit 1; }
    printf 'directories.tokendir = %s\nlog.level = ERROR\n' "$WORK/store" >"$SOFTHSM2_CONF"
    printf '[[slots]]\nslot = 1\ndbtype = "sqlite"\ndbargs = "%s"\n' "$WORK/store/kryoptic.sql" >"$KRYOPTIC_CONF"
    check "a new token is initialised" pkcs11-tool --module "$MODULE" --init-token --slot-index 0 --label "$TOKEN" --so-pin "$SO_PIN"
    check "the SO sets the user PIN" pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --init-pin --login --login-type so \
        --so-pin "$SO_PIN" --new-pin "$PIN"
}

embedded_slot() { echo 'backend = "embedded"'; }

# token ARGUMENTS... : pkcs11-tool on the new token, not logged in.
token() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" "$@"; }

# user ARGUMENTS... : pkcs11-tool on the new token, as its user.
user() { token --login --pin "$PIN" "$@"; }

# refused VERIFY_COMMAND... : pkcs11-tool's verdict is that the signature is invalid; its exit status says so since 0.26 only.
refused() {
    local verdict
    verdict=$("$@" 2>&1) || true
    grep "Invalid signature" <<<"$verdict"
}

# serve LOG COMMAND... : starts a server; it ends with the case.
serve() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
}

# wait_until COMMAND... : returns when COMMAND succeeds, fails after twenty seconds.
wait_until() {
    local _
    for _ in {1..200}; do
        "$@" && return
        sleep 0.1
    done
    return 1
}

# listens PORT : somebody listens on 127.0.0.1:PORT.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A loopback port that nobody listens on.
free_port() { free_ports 1; }

# free_ports COUNT : the first of so many in a row.
free_ports() {
    local port each
    while :; do
        port=$((20000 + RANDOM % 12000))
        for ((each = port; each < port + $1; each++)); do
            listens "$each" && continue 2
        done
        break
    done
    echo "$port"
}

finish() {
    local rc=$?
    jobs -p | xargs -r kill 2>/dev/null || true
    ((rc == 0)) || return "$rc"
    ((checks > 0)) || { echo "  the case checked nothing" && exit 1; }
    echo "  $checks checks, $failures failed"
    ((failures == 0)) || exit 1
}
trap finish EXIT
