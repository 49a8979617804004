#!/usr/bin/env bash
# Makes the Debian forky root file system that `make interop` runs in, once: $TRELLIS_CACHE/forky/fs.
# Every mount is made inside a private mount namespace, so nothing is left behind however this ends.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"

suite=forky
packages=(
    openssl pkcs11-provider opensc nginx-light openssh-server openssh-client libnss3-tools p11-kit gnutls-bin
    default-jre-headless python3-cryptography curl iproute2 procps
    # The other stores' devices, what Kryoptic is built with, and what counts instructions for the benchmark.
    softhsm2 swtpm libtss2-dev gcc libc6-dev libssl-dev libsqlite3-dev libclang-dev pkgconf valgrind
)
# The libraries of the release between Debian 12 and this one that talk to a TPM: /opt/tss-trixie, for one case.
tss=(libtss2-esys-3.0.2-0t64 libtss2-mu-4.0.1-0t64 libtss2-sys1t64 libtss2-tctildr0t64 libtss2-tcti-swtpm0t64 libtss2-tcti-device0t64)
cache=$TRELLIS_CACHE/$suite
# A root made from another list of packages is made anew.
wanted="$suite ${packages[*]} trixie ${tss[*]}"

[[ $(id -u) == 0 ]] || die "only root can make a root file system; make interop says how"
need_packages debootstrap util-linux

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[[ -f $cache/stamp && $(<"$cache/stamp") == "$wanted" ]] && exit 0

# The machine's own Debian mirror, as apt is configured here.
# shellcheck disable=SC2016 # apt expands $(REPO_URI)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
[[ -n $mirror ]] || die "apt knows no Debian mirror here; configure one in /etc/apt and run apt-get update"

say "Making a Debian $suite root file system in $cache (once, some five minutes)"
rm -rf "$cache/stamp" "$cache/fs" "$cache/fs.new"
mkdir -p "$cache/fs.new"

# debootstrap knows testing's next name by the script of unstable. It mounts proc itself, in this namespace only.
quietly "$cache/debootstrap.log" unshare --mount --propagation private \
    debootstrap --variant=minbase "$suite" "$cache/fs.new" "$mirror" sid

# A mirror may be a frozen snapshot whose Release file has run out; the signature is still checked.
echo 'Acquire::Check-Valid-Until "false";' >"$cache/fs.new/etc/apt/apt.conf.d/90snapshot"
printf '#!/bin/sh\nexit 101\n' >"$cache/fs.new/usr/sbin/policy-rc.d"
chmod 755 "$cache/fs.new/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$cache/fs.new/etc/resolv.conf"
cp /etc/hosts "$cache/fs.new/etc/hosts"

quietly "$cache/apt.log" "$here/enter.sh" --network "$cache/fs.new" \
    sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends "$@" && apt-get clean' sh "${packages[@]}"

mkdir -p "$cache/fs.new/opt/tss-trixie"
# shellcheck disable=SC2016 # the inner shell has the arguments
quietly "$cache/tss.log" "$here/enter.sh" --network "$cache/fs.new" sh -ec '
    list=/etc/apt/sources.list.d/trixie.list
    echo "deb $1 trixie main" >"$list" && shift && apt-get -q update
    cd /opt/tss-trixie
    for package; do apt-get -q download "$package/trixie"; done
    for file in *.deb; do dpkg-deb -x "$file" . && rm "$file"; done
    rm "$list" && apt-get -q update && apt-get clean' sh "$mirror" "${tss[@]}"

mv "$cache/fs.new" "$cache/fs"
echo "$wanted" >"$cache/stamp"
