#!/usr/bin/env bash
# engines.sh test | clippy | bench [TURNS]: the prototypes of ML-DSA engines in benches/engines, a workspace of their own
# that nothing else is built from.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top/benches/engines"
export CARGO_TARGET_DIR=$TRELLIS_CACHE/engines-target

case ${1:-} in
    test) cargo test --locked ;;
    clippy) cargo clippy --locked --all-targets --quiet -- -D warnings ;;
    bench) cargo run --locked --quiet --release -- "${@:2}" ;;
    *) die "say test, clippy or bench" ;;
esac
