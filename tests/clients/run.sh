#!/usr/bin/env bash
# run.sh TIER CASE.sh...: runs client cases, each in a private work folder, and prints a summary.
# Needs MODULE and CLI. Exits 1 when a case failed, or could not run while CI=true.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tier=$1
shift
limit=${CASE_SECONDS:-300}

: "${MODULE:?MODULE must be the path of the PKCS#11 module}" "${CLI:?CLI must be the path of the trellis command}"
[[ -r $MODULE ]] || { echo "$tier: there is no module $MODULE; type: make build" >&2; exit 1; }
MODULE=$(realpath "$MODULE")
# Cases get a home of their own; what cargo keeps in the real one stays where it is.
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export MODULE CLI HARNESS=$here/harness.sh PROJECT=${here%/*/*}

passed=0 failed=() not_run=()
for case in "$@"; do
    name=$(basename "$case" .sh)
    case=$(realpath "$case")
    work=$(mktemp -d "${TMPDIR:-/tmp}/trellis-$name.XXXXXX")
    echo "$tier: $name"
    rc=0
    # -u: a case sees no token, PIN or configuration of the person who runs it.
    env -u TRELLIS_CONF -u TRELLIS_LOG -u XDG_CONFIG_HOME -u XDG_DATA_HOME -u SSH_AUTH_SOCK \
        HOME="$work" WORK="$work" timeout --kill-after=10 "$limit" bash "$case" </dev/null || rc=$?
    rm -rf "$work"
    case $rc in
        0) passed=$((passed + 1)) ;;
        77) not_run+=("$name") ;;
        124 | 137) failed+=("$name") && echo "  FAIL  stopped after $limit seconds" ;;
        *) failed+=("$name") ;;
    esac
done

summary="$tier: $passed passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}"
summary+=", ${#not_run[@]} could not run${not_run[*]:+ (${not_run[*]})}"
echo "$summary"
[[ -z ${TRELLIS_SUMMARY:-} ]] || echo "$summary" >>"$TRELLIS_SUMMARY"
((${#failed[@]} == 0)) || exit 1
[[ ${CI:-} != true ]] || ((${#not_run[@]} == 0))
