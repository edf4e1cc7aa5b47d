#!/usr/bin/env bash
# Prints the krew manifest of a release.
#
#   fill.sh VERSION SHA256SUMS
#
# SHA256SUMS is the file that `make checksums` writes. It must list pullthrough-VERSION-OS-ARCH.tar.gz for each platform of the
# manifest. The archives have the program and the licence at their root.
set -euo pipefail

version=${1:?VERSION} sums=${2:?SHA256SUMS}
manifest=$(grep -v '^#' "$(dirname "$0")/pullthrough.yaml")
for platform in linux-amd64 linux-arm64 darwin-amd64 darwin-arm64; do
  archive=pullthrough-$version-$platform.tar.gz
  sum=$(awk -v archive="$archive" '$2 == archive || $2 == "*" archive { print $1 }' "$sums")
  if [[ ! $sum =~ ^[0-9a-f]{64}$ ]]; then
    echo "fill.sh: $sums lacks $archive: run 'make checksums' with it in DIST" >&2
    exit 1
  fi
  manifest=${manifest//@SHA256-$platform@/$sum}
done
printf '%s\n' "${manifest//@VERSION@/$version}"
