#!/usr/bin/env bash
# Installs the Debian packages that `make test-cluster` needs: a container runtime with its network, registries, what
# builds images, and Prometheus. None of their services is started. With --check it only tells what is missing.
set -euo pipefail

packages=(
  buildah mmdebstrap skopeo docker-registry        # images and where they are kept
  containerd runc containernetworking-plugins      # the node's Pods
  iproute2 iptables util-linux                     # the node's network and namespaces
  ca-certificates gcc libc6-dev                    # what Rust links with
  prometheus                                       # what scrapes, and promtool
  libfaketime                                      # a clock that is wrong
)

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

is_installed() {
  dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0
[[ ${1:-} != --check ]] || fail "these Debian packages are missing: ${missing[*]}: run tests/cluster/install.sh"
((EUID == 0)) || fail "can't install ${missing[*]}: run this as root"

# Debian asks this program whether a service may start; 101 is no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
# The lists of a fresh machine are missing, or name packages that are gone.
"${install[@]}" || { apt-get update --quiet && "${install[@]}"; } ||
  fail "apt-get can't install ${missing[*]}, see above"
