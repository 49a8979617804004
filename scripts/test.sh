#!/usr/bin/env bash
# Every test that runs on this machine: the Rust tests, then the clients of the distribution. Ends with a summary of
# each tier. (`make interop` has the newest clients, in a root file system of their own.)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

need_packages swtpm tpm2-abrmd tpm2-tools dbus libtss2-tcti-tabrmd0 libtss2-dev pkg-config opensc softhsm2 gnutls-bin p11-kit p11-kit-modules libengine-pkcs11-openssl openssh-client openssl procps
say "Building the release module and command"
scripts/build.sh
PYTHON=$(scripts/python-env.sh)
export PYTHON

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rc=0

say "Rust tests"
# libtss2 writes a line for each wrong PIN of a test.
export TSS2_LOG=all+none
export TRELLIS_TESTS_NOT_RUN=$work/not-run
: >"$TRELLIS_TESTS_NOT_RUN"
# Documents of real enclaves, which some checkouts have beside them, in the folder nitro of a neighbour; an empty variable is
# none. Tests run in the folder of their crate.
if [[ -z ${TRELLIS_NITRO_DOCUMENTS+is-set} ]]; then
    for root in ../*/nitro/aws_nitro_root_g1.der; do
        [[ ! -e $root ]] || TRELLIS_NITRO_DOCUMENTS=$(dirname "$root")
    done
fi
[[ -z ${TRELLIS_NITRO_DOCUMENTS:-} ]] || TRELLIS_NITRO_DOCUMENTS=$(realpath "$TRELLIS_NITRO_DOCUMENTS")
export TRELLIS_NITRO_DOCUMENTS
# A test that needs the module finds it by TRELLIS_MODULE, the command by TRELLIS_CLI.
cargo test --workspace --no-fail-fast 2>&1 | tee "$work/rust" || rc=1
# The command's tests ran with SoftHSM; now the same with our module.
TRELLIS_TEST_MODULE_KIND=trellis cargo test -p trellis-cli --test cli --no-fail-fast 2>&1 | tee -a "$work/rust" || rc=1
# The engines that are no part of Trellis make the signatures that fips204 makes.
scripts/engines.sh test 2>&1 | tee -a "$work/rust" || rc=1
# The C ABI again over each other store. What is left out there is counted by name (tests/src/exempt.rs).
for backend in softhsm tpm nitro; do
    say "The C ABI over $backend" | tee -a "$work/rust"
    TRELLIS_TEST_BACKEND=$backend cargo test -p trellis-tests --test abi --no-fail-fast 2>&1 | tee -a "$work/rust" || rc=1
done
not_run=$(sort -u "$TRELLIS_TESTS_NOT_RUN")
# A test that could not run has returned, so cargo has counted it as passed.
awk -v not_run="$(grep -c . <<<"$not_run" || true)" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END { printf "rust: %d passed, %d failed, %d could not run\n", passed - not_run, failed, ignored + not_run }
' "$work/rust" >"$work/summary"
if [[ -n $not_run ]]; then
    echo "$not_run"
    # Nobody's machine must have what is optional: real attestation documents (TRELLIS_NITRO_DOCUMENTS), vsock to itself.
    # What is exempt is named in tests/src/exempt.rs and in hsm-backends/tests.
    [[ ${CI:-} != true ]] || ! grep -Eqv '^(optional|exempt): ' <<<"$not_run" || rc=1
fi
# A crate that does not compile has no results to count.
grep -q "^error: could not compile" "$work/rust" && echo "rust: does not compile" >>"$work/summary"

say "Clients"
PARTS=$(scripts/parts.sh)
export PARTS
MODULE=$TRELLIS_MODULE CLI=$TRELLIS_CLI TRELLIS_SUMMARY=$work/summary tests/clients/run.sh clients tests/clients/cases/*.sh || rc=1

say "Summary"
# Which tests failed, over which store, and what each said where it did.
awk '
    /^==.* The C ABI over / { over = " (over " $NF ")" }
    /^---- .* stdout ----$/ { name = $2; print "FAILED: " name over; next }
    /^failures:$/ { name = ""; left = 0 }
    name && /panicked at / { left = 4 }
    left > 0 { print "    " substr($0, 1, 300); left-- }
' "$work/rust"
cat "$work/summary"
[[ -z ${TRELLIS_SUMMARY:-} ]] || cat "$work/summary" >>"$TRELLIS_SUMMARY"
((rc == 0)) || die "some tests failed; what they said is above"
