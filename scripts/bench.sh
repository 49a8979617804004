#!/usr/bin/env bash
# The benchmark, after `make build`; its options are passed on.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

# Without it instructions are not counted, and the benchmark says so. CI has to count them.
if [[ ${CI:-} == true || $(id -u) == 0 ]] || sudo -n true 2>/dev/null; then
    need_packages valgrind
fi
cargo run --quiet --release -p trellis-benches -- "$@"
