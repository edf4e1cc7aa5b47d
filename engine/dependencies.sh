#!/usr/bin/env bash
# Fails unless the crates that the engine links are those of dependencies.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

linked=$(cargo tree --locked --package pullthrough-engine --edges normal,no-proc-macro --target all --prefix none \
  --format '{p}' | cut -d ' ' -f 1 | grep -vx pullthrough-engine | LC_ALL=C sort -u)
listed=$(grep -v '^#' dependencies.txt | LC_ALL=C sort -u)
new=$(LC_ALL=C comm -23 <(echo "$linked") <(echo "$listed") | paste -s -d ' ')
old=$(LC_ALL=C comm -13 <(echo "$linked") <(echo "$listed") | paste -s -d ' ')
if [[ -n $new ]]; then
  echo "engine/dependencies.sh: the engine links crates that engine/dependencies.txt does not list: $new" >&2
  echo "Remove the dependency if a crate starts a runtime, does I/O or logs (cargo tree -p pullthrough-engine -i CRATE); else list it" >&2
fi
if [[ -n $old ]]; then
  echo "engine/dependencies.sh: engine/dependencies.txt lists crates that the engine does not link: $old" >&2
  echo "Remove these lines" >&2
fi
[[ -z $new$old ]]
