# shellcheck shell=bash
# OpenSSL 3.6: a TLS 1.3 server whose ML-DSA-65 key is sealed by SoftHSM; pkcs11-tool signs with it too.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
# shellcheck source=tests/clients/stores.sh
. "$PROJECT/tests/clients/stores.sh"
new_token softhsm-tls softhsm_slot
# shellcheck source=tests/interop/provider.sh
. "$PROJECT/tests/interop/provider.sh"
# shellcheck source=tests/interop/tls.sh
. "$PROJECT/tests/interop/tls.sh"

new_identity ML-DSA-65
check_server ML-DSA-65
check_store_signs ML-DSA-65
