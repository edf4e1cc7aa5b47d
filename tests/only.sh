#!/usr/bin/env bash
# Runs the tests of a binary whose names contain one of these texts: only.sh BINARY TEXT...
#
# `cargo test` succeeds if a text is in no name. This fails.
set -euo pipefail
cd "$(dirname "$0")/.."

names=$(cargo test --quiet --locked --test "$1" -- --list)
for text in "${@:2}"; do
  grep -qF -- "$text" <<<"$names" || {
    echo "only.sh: no test of $1 has '$text' in its name: correct the name here and where this script is called" >&2
    exit 1
  }
done
exec cargo test --locked --test "$1" -- --show-output "${@:2}"
