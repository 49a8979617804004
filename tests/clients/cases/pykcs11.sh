# shellcheck shell=bash
# PyKCS11, from the virtual environment that scripts/python-env.sh makes.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token pykcs11
check "keys are generated, sign, verify and go" "$PYTHON" "$PROJECT/tests/clients/python/pykcs11_case.py"
