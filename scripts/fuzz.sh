#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs every fuzz target for SECONDS, 60 unless told, and goes on from the inputs that the last run
# found. What crashed is left in fuzz/artifacts/.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ -f $top/fuzz/Cargo.toml ]] || die "there are no fuzz targets in fuzz/"
cd "$top/fuzz"

seconds=${1:-60}
version=0.13.2
tools=$TRELLIS_CACHE/cargo-tools
if [[ $("$tools/bin/cargo-fuzz" --version 2>/dev/null) != "cargo-fuzz $version" ]]; then
    echo "installing cargo-fuzz $version into $tools"
    quietly "$TRELLIS_CACHE/cargo-fuzz.log" cargo install cargo-fuzz --version "$version" --locked --root "$tools"
fi
command -v c++ >/dev/null || need_packages g++

# The sanitizers are unstable options of the compiler; this lets the pinned one take them.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$TRELLIS_CACHE/fuzz-target
PATH=$tools/bin:$PATH
quietly "$TRELLIS_CACHE/fuzz-seeds.log" cargo run --example make_seeds
mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
((${#targets[@]})) || die "there are no fuzz targets in fuzz/"
failed=()
for name in "${targets[@]}"; do
    say "fuzz: $name, $seconds seconds"
    corpora=("$TRELLIS_CACHE/fuzz-corpus/$name")
    mkdir -p "${corpora[0]}"
    [[ ! -d seeds/$name ]] || corpora+=("seeds/$name")
    cargo fuzz run --fuzz-dir . "$name" "${corpora[@]}" -- -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 || failed+=("$name")
done
summary="fuzz: $((${#targets[@]} - ${#failed[@]})) passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}, 0 could not run"
echo "$summary"
[[ -z ${TRELLIS_SUMMARY:-} ]] || echo "$summary" >>"$TRELLIS_SUMMARY"
((${#failed[@]} == 0))
