#!/usr/bin/env bash
# Builds what tests of the other stores start and load: the TPM plug-in, and the enclave's program with an emulated NSM,
# its host and the KMS double. Prints the folder they are in. None of it is a release.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

need_packages libtss2-dev pkg-config >&2
cargo build --quiet -p trellis-enclave --features emulated-nsm --bin trellis-enclave-emulated >&2
cargo build --quiet -p trellis-cosigner-host --bin trellis-cosigner-host -p trellis-kms-double --bin trellis-kms-double >&2
cargo rustc --quiet -p trellis-tpm-plugin --lib --crate-type cdylib >&2
echo "$target/debug"
