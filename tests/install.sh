#!/usr/bin/env bash
# Installs the Debian packages that the tests need whose programs are missing.
#
#   install.sh [--check] [ecosystem|caches|cluster]
#
# Without an argument it installs those of `make test`. `ecosystem` installs those of `make test-ecosystem`: a browser, shells,
# and programs that read man pages and scripts. `caches` installs those of `make test-caches`: a registry and a container runtime.
# `cluster` installs those of `make test-cluster`: a container runtime with its network, registries, programs that build images,
# and Prometheus. It starts none of their services. With --check it only lists the missing packages.
set -euo pipefail

# Programs of the PATH, and the packages that have them.
programs=(
  curl:curl                                        # the line that `serve` prints
)
ecosystem_programs=(
  chromium:chromium chromedriver:chromium-driver   # open reports
  zsh:zsh fish:fish                                # complete commands
  mandoc:mandoc man:man-db shellcheck:shellcheck   # read man pages and scripts
  jq:jq curl:curl docker-registry:docker-registry  # called by the scripts of `init`, and a cache
  python3:python3-venv git:git patch:patch         # pre-commit, and programs that apply a diff
  npm:npm                                          # downloads the schema of Renovate
)
ecosystem_packages=(fonts-liberation)
caches_programs=(
  docker-registry:docker-registry                  # a cache
  containerd:containerd ctr:containerd             # pull from it
)
cluster_packages=(
  buildah mmdebstrap skopeo docker-registry        # build and store images
  containerd runc containernetworking-plugins      # run the Pods of the node
  iproute2 iptables util-linux                     # network and namespaces of the node
  ca-certificates gcc libc6-dev                    # link Rust programs
  prometheus                                       # scrapes, and has promtool
  libfaketime                                      # sets a wrong clock
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
also=()
case ${1:-} in
  cluster)
    for package in "${cluster_packages[@]}"; do
      is_installed "$package" || missing+=("$package")
    done
    programs=()
    ;;
  ecosystem)
    programs=("${ecosystem_programs[@]}")
    also=("${ecosystem_packages[@]}")
    ;;
  caches) programs=("${caches_programs[@]}") ;;
  '') ;;
  *) fail "unknown argument: $1; write ecosystem, caches or cluster, or no argument" ;;
esac
for program in "${programs[@]}"; do
  command -v "${program%%:*}" >/dev/null || missing+=("${program#*:}")
done
((${#missing[@]})) || exit 0
[[ -z $check ]] || fail "these Debian packages are missing: ${missing[*]}: run tests/install.sh $*"
((EUID == 0)) || fail "these Debian packages are missing: ${missing[*]}: install them, or run this as root on Debian"
missing+=("${also[@]}")

# Debian runs this program to ask whether a service may start. 101 means no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
# The package lists of a fresh machine are missing or outdated.
"${install[@]}" || { apt-get update --quiet && "${install[@]}"; } ||
  fail "apt-get failed to install ${missing[*]}, see above"
