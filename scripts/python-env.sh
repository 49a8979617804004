#!/usr/bin/env bash
# Makes the virtual environment of tests/clients/python/requirements.txt, once, and prints its interpreter's path.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

requirements=$top/tests/clients/python/requirements.txt
env=$TRELLIS_CACHE/python
exec 9>"$env.lock"
flock 9
if ! cmp -s "$requirements" "$env/requirements.txt" || ! "$env/bin/python" -c "" 2>/dev/null; then
    python3 -c "import ensurepip, venv" 2>/dev/null || need_packages python3-venv >&2
    rm -rf "$env"
    python3 -m venv "$env"
    quietly "$env.log" "$env/bin/pip" install --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$env/requirements.txt"
fi
echo "$env/bin/python"
