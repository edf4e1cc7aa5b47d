#!/usr/bin/env bash
# Completes `kubectl pullthrough …`: kubectl runs it with the arguments so far, the last one unfinished.
# Printed by `pullthrough completions kubectl`; it goes into the PATH, executable, as kubectl_complete-pullthrough.
set -uo pipefail

# shellcheck source=/dev/null
source <(kubectl-pullthrough completions bash)

COMP_WORDS=(pullthrough "$@")
COMP_CWORD=$#
COMPREPLY=()
_pullthrough pullthrough "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
if ((${#COMPREPLY[@]})); then
  printf '%s\n' "${COMPREPLY[@]}"
  # cobra's directives: no names of files, …
  echo :4
else
  # … and what the shell does by itself.
  echo :0
fi
