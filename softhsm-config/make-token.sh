#!/usr/bin/env bash
# make-token.sh DIRECTORY LABEL PIN SO_PIN: makes a private SoftHSM token for tests below DIRECTORY, which must not
# exist, and prints the path of its configuration: SOFTHSM2_CONF=$(softhsm-config/make-token.sh ...).
set -euo pipefail
if [[ $# != 4 ]]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
directory=$1 label=$2 pin=$3 so_pin=$4

command -v softhsm2-util >/dev/null || { echo "make-token.sh: install the Debian package softhsm2" >&2; exit 1; }
umask 077
mkdir "$directory"
directory=$(cd "$directory" && pwd)
mkdir "$directory/tokens"
sed "s|@DIRECTORY@|$directory|" "$(dirname "${BASH_SOURCE[0]}")/softhsm2.conf.in" >"$directory/softhsm2.conf"
SOFTHSM2_CONF=$directory/softhsm2.conf softhsm2-util --init-token --free --label "$label" --pin "$pin" --so-pin "$so_pin" >&2
echo "$directory/softhsm2.conf"
