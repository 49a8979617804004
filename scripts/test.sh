#!/usr/bin/env bash
# Every test that runs on this machine: the Rust tests, then the clients of the distribution. Ends with a summary of
# each tier. (`make interop` has the newest clients, in a root file system of their own.)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

need_packages opensc softhsm2 gnutls-bin p11-kit p11-kit-modules libengine-pkcs11-openssl openssh-client openssl procps
say "Building the release module and command"
scripts/build.sh
PYTHON=$(scripts/python-env.sh)
export PYTHON

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rc=0

say "Rust tests"
# A test that needs the module finds it by TRELLIS_MODULE, the command by TRELLIS_CLI.
cargo test --workspace --no-fail-fast 2>&1 | tee "$work/rust" || rc=1
# The command's tests ran with SoftHSM; now the same with our module.
TRELLIS_TEST_MODULE_KIND=trellis cargo test -p trellis-cli --test cli --no-fail-fast 2>&1 | tee -a "$work/rust" || rc=1
# The same C ABI over keys in SoftHSM. What does not hold for a foreign HSM stands in tests/README-softhsm.md.
skip=()
while read -r name; do skip+=(--skip "$name"); done < <(sed -n 's/^- `\(.*\)`:.*/\1/p' tests/README-softhsm.md)
TRELLIS_TEST_BACKEND=softhsm cargo test -p trellis-tests --test abi --no-fail-fast -- "${skip[@]}" 2>&1 | tee -a "$work/rust" || rc=1
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; binaries++ }
     END { printf "rust: %d passed, %d failed, %d could not run\n", passed, failed, ignored }' "$work/rust" >"$work/summary"
# A crate that does not compile has no results to count.
grep -q "^error: could not compile" "$work/rust" && echo "rust: does not compile" >>"$work/summary"

say "Clients"
MODULE=$TRELLIS_MODULE CLI=$TRELLIS_CLI TRELLIS_SUMMARY=$work/summary tests/clients/run.sh clients tests/clients/cases/*.sh || rc=1

say "Summary"
cat "$work/summary"
[[ -z ${TRELLIS_SUMMARY:-} ]] || cat "$work/summary" >>"$TRELLIS_SUMMARY"
((rc == 0)) || die "some tests failed; what they said is above"
