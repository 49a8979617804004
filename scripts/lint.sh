#!/usr/bin/env bash
# Formatting, clippy, dependencies and shell scripts, all with warnings as errors.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

deny_version=0.20.2
tools=$TRELLIS_CACHE/cargo-tools
if [[ $("$tools/bin/cargo-deny" --version 2>/dev/null) != "cargo-deny $deny_version" ]]; then
    echo "installing cargo-deny $deny_version into $tools"
    quietly "$TRELLIS_CACHE/cargo-deny.log" cargo install cargo-deny --version "$deny_version" --locked --root "$tools"
fi
need_packages shellcheck libtss2-dev pkg-config

failed=()
lint() { # NAME COMMAND...
    local name=$1
    shift
    say "$name"
    "$@" || failed+=("$name")
}
shell_scripts() { git ls-files '*.sh' .ci/run | xargs shellcheck -x; }

# fuzz/ and benches/engines/ are workspaces of their own.
formatted() {
    cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check &&
        cargo fmt --manifest-path benches/engines/Cargo.toml --check
}
without_warnings() {
    cargo clippy --workspace --all-targets --quiet -- -D warnings &&
        CARGO_TARGET_DIR=$TRELLIS_CACHE/fuzz-lint cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --quiet -- -D warnings &&
        scripts/engines.sh clippy
}

lint rustfmt formatted
lint clippy without_warnings
lint cargo-deny "$tools/bin/cargo-deny" --locked check -A unused-wrapper bans licenses sources
echo "Advisories are not checked here: that needs the advisory database, a git repository outside the package registry."
echo "With access to it, type: $tools/bin/cargo-deny check advisories"
lint shellcheck shell_scripts

summary="lint: $((4 - ${#failed[@]})) passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}, 1 could not run (advisories)"
echo "$summary"
[[ -z ${TRELLIS_SUMMARY:-} ]] || echo "$summary" >>"$TRELLIS_SUMMARY"
((${#failed[@]} == 0))
