#!/usr/bin/env bash
# Runs a command, as root, in mount, network and process namespaces of its own. Whatever it starts and leaves behind, such
# as containers, mounts, network interfaces, packet filters and files in /run and /var, ends with it, however it ends: the
# kernel takes away the namespaces when their first process, this one, is gone.
#
#   namespaces.sh GATEWAY SERVICE_NETWORK COMMAND...
#
# The command finds itself in a network of a loopback interface with the address GATEWAY, and no other network is in reach.
# Its temporary files are in memory.
set -euo pipefail

if [[ $1 != --inside ]]; then
  # Killed together with this process, which unshare replaces.
  exec unshare --mount --net --pid --fork --kill-child --mount-proc -- "$0" --inside "$@"
fi
gateway=$2
services=$3
shift 3

mount -t tmpfs -o mode=755 tmpfs /run
export TMPDIR=/run/tmp
mkdir "$TMPDIR" /run/var /run/var.work
mount -t overlay -o lowerdir=/var,upperdir=/run/var,workdir=/run/var.work overlay /var

ip link set lo up
ip address add "$gateway/32" dev lo
# Where kube-proxy gets to see what is sent to a Service.
ip route add "$services" dev lo src "$gateway"

# The kubelet sets these for the whole machine; here it sets files.
for setting in kernel/keys/root_maxbytes kernel/keys/root_maxkeys kernel/panic kernel/panic_on_oops \
  vm/overcommit_memory vm/panic_on_oom; do
  mkdir -p "/run/sys/${setting%/*}"
  cat "/proc/sys/$setting" >"/run/sys/$setting"
  mount --bind "/run/sys/$setting" "/proc/sys/$setting"
done

# Control groups of containers are in no namespace. Those in use, of another run, can't be removed.
remove_control_groups() {
  find /sys/fs/cgroup -depth -path '*/k8s.io*' -type d -exec rmdir {} + 2>/dev/null || true
}

# The kernel spares a namespace's first process every signal that it has no handler for.
trap 'exit 130' INT TERM
# What a run that was killed has left.
remove_control_groups
"$@" &
status=0
wait $! || status=$?
remove_control_groups
exit "$status"
