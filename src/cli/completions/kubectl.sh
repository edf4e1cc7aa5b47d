#!/usr/bin/env bash
# Completes `kubectl pullthrough`. kubectl runs it with the arguments so far; the last one is incomplete.
# Printed by `pullthrough completions kubectl`. Install it in the PATH as the executable kubectl_complete-pullthrough.
set -uo pipefail

# shellcheck source=/dev/null
source <(kubectl-pullthrough completions bash)

COMP_WORDS=(pullthrough "$@")
COMP_CWORD=$#
COMPREPLY=()
_pullthrough pullthrough "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
if ((${#COMPREPLY[@]})); then
  printf '%s\n' "${COMPREPLY[@]}"
  # A directive of cobra: no file names.
  echo :4
else
  # A directive of cobra: the default of the shell.
  echo :0
fi
