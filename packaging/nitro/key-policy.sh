#!/usr/bin/env bash
# The policy of the KMS key for the images of these manifests: during an upgrade, the old one and the new one.
#   key-policy.sh ADMIN_ROLE_ARN HOST_ROLE_ARN MANIFEST.json... >policy.json
set -euo pipefail
(($# >= 3)) || { sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
template=$(dirname "${BASH_SOURCE[0]}")/key-policy.json
admin=$1
host=$2
shift 2
for role in "$admin" "$host"; do
    [[ $role =~ ^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$ ]] ||
        { echo "key-policy.sh: $role is not the ARN of a role" >&2; exit 1; }
done
pcr() { # INDEX MANIFEST... : the values, ready to stand between quotes
    local index=$1 manifest value all=
    shift
    for manifest in "$@"; do
        value=$(sed -n "s/.*\"PCR$index\": *\"\([0-9a-f]\{96\}\)\".*/\1/p" "$manifest")
        [[ -n $value ]] || { echo "key-policy.sh: $manifest has no PCR$index" >&2; return 1; }
        [[ $all == *$value* ]] || all+=${all:+'", "'}$value
    done
    printf '%s' "$all"
}
pcr0=$(pcr 0 "$@")
pcr8=$(pcr 8 "$@")
sed -e "s|@ADMIN_ROLE@|$admin|; s|@HOST_ROLE@|$host|; s|@PCR0@|$pcr0|; s|@PCR8@|$pcr8|" "$template"
