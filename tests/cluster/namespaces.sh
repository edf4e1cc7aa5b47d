#!/usr/bin/env bash
# Runs a command, as root, in mount, network and process namespaces of its own.
#
# When this process ends, even if it is killed, the kernel removes the namespaces. So containers, mounts, network interfaces,
# packet filters and files in /run and /var that the command created end with it.
#
#   namespaces.sh GATEWAY SERVICE_NETWORK COMMAND...
#
# The network of the command is a loopback interface with the address GATEWAY. No other network is available. Temporary files
# are in memory.
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
# Packets to Services go through the chains of kube-proxy.
ip route add "$services" dev lo src "$gateway"

# The kubelet writes these settings of the whole machine. Files replace them.
for setting in kernel/keys/root_maxbytes kernel/keys/root_maxkeys kernel/panic kernel/panic_on_oops \
  vm/overcommit_memory vm/panic_on_oom; do
  mkdir -p "/run/sys/${setting%/*}"
  cat "/proc/sys/$setting" >"/run/sys/$setting"
  mount --bind "/run/sys/$setting" "/proc/sys/$setting"
done

# Control groups of containers are not in a namespace. Those of another run are in use, and can't be removed.
remove_control_groups() {
  find /sys/fs/cgroup -depth -path '*/k8s.io*' -type d -exec rmdir {} + 2>/dev/null || true
}

# The first process of a namespace does not receive signals without a handler.
trap 'exit 130' INT TERM
# A killed run leaves them behind.
remove_control_groups
"$@" &
status=0
wait $! || status=$?
remove_control_groups
exit "$status"
