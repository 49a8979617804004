# shellcheck shell=bash
# python-pkcs11, from the virtual environment that scripts/python-env.sh makes.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token python-pkcs11
check "keys are generated, sign, verify and go" "$PYTHON" "$PROJECT/tests/clients/python/python_pkcs11_case.py"
