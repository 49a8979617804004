#!/usr/bin/env bash
# enter.sh [--network] ROOT COMMAND...: runs COMMAND in the root file system ROOT, in namespaces of its own.
# The mounts, /dev and every process that COMMAND leaves behind vanish with the namespaces; the host's /dev
# is never mounted. Without --network there is only a loopback device, so ports never clash with the host's.
set -euo pipefail

if [[ ${1:-} != --inside ]]; then
    isolate=(--mount --propagation private --pid --fork --kill-child --ipc --uts)
    if [[ $1 == --network ]]; then shift; else isolate+=(--net); fi
    exec unshare "${isolate[@]}" "$0" --inside "$@"
fi

root=$2
shift 2
[[ -x $root/bin/sh ]] || { echo "enter.sh: $root is no root file system" >&2; exit 1; }

# A mount point of its own, with what is mounted in it, so that programs inside can make mount namespaces too.
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
node() { mknod -m 666 "$root/dev/$1" c "$2" "$3"; }
node null 1 3
node zero 1 5
node full 1 7
node random 1 8
node urandom 1 9
node tty 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
[[ ! -x $root/sbin/ip && ! -x $root/usr/sbin/ip ]] || chroot "$root" ip link set lo up

exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot "$root" "$@"
