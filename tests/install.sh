#!/usr/bin/env bash
# Installs the Debian packages that the tests need whose programs are missing.
#
#   install.sh [--check] [cluster]
#
# Without `cluster` those of `make test`: a browser without a screen, shells, and what reads man pages and scripts. With it
# those of `make test-cluster`: a container runtime with its network, registries, what builds images, and Prometheus; none of
# their services is started. With --check it only tells what is missing.
set -euo pipefail

# What is looked for on the PATH, and the packages that have it.
programs=(
  chromium:chromium chromedriver:chromium-driver   # opens reports
  zsh:zsh fish:fish                                # complete commands
  mandoc:mandoc man:man-db shellcheck:shellcheck   # read what is generated
  jq:jq curl:curl docker-registry:docker-registry  # what is generated calls, and a cache
  python3:python3-venv git:git patch:patch         # take what `rewrite` prints
)
also=(fonts-liberation)
cluster_packages=(
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

check=
if [[ ${1:-} == --check ]]; then
  check=yes
  shift
fi
missing=()
case ${1:-} in
  cluster)
    for package in "${cluster_packages[@]}"; do
      is_installed "$package" || missing+=("$package")
    done
    ;;
  '')
    for program in "${programs[@]}"; do
      command -v "${program%%:*}" >/dev/null || missing+=("${program#*:}")
    done
    ;;
  *) fail "unknown: $1; leave it out, or write cluster" ;;
esac
((${#missing[@]})) || exit 0
[[ -z $check ]] || fail "these Debian packages are missing: ${missing[*]}: run tests/install.sh $*"
((EUID == 0)) || fail "these are missing: ${missing[*]}: install them, or run this as root on Debian"
[[ ${1:-} == cluster ]] || missing+=("${also[@]}")

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
