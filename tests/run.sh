#!/usr/bin/env bash
# Runs the tests in parts, and prints the time of each part.
#
#   run.sh             units, engine, library, commands, server, a real API server: what `cargo test` runs
#   run.sh ecosystem   the tests with Helm, kustomize, Kyverno, OLM, CRI-O, Docker, OpenShift, shells and a browser
#
# Go compiles the programs that the tests run in the background, at low priority, while cargo compiles and other tests run.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'run.sh: %s\n' "$*" >&2
  exit 1
}

case ${1:-} in
  '')
    # Arguments of assets.sh. The empty one is the control plane, with controllers.
    tools=('')
    of_tests=()
    ;;
  ecosystem)
    tools=('' helm openshift-crds renovate-schema registries kustomize helm3 validate-krew-manifest pre-commit olm kyverno)
    of_tests=(--test ecosystem)
    ;;
  *) fail "unknown argument: $1; write ecosystem, or no argument" ;;
esac

times=()

# Prints the time of each part, also after a failure.
report() {
  local status=$?
  [[ -z ${preparing:-} ]] || kill -- "-$preparing" 2>/dev/null || true
  rm -rf "$work"
  ((${#times[@]})) && printf '\n== Time of each part\n' && printf '%s\n' "${times[@]}"
  exit "$status"
}

# Runs a command, and records its time: part NAME COMMAND...
part() {
  local name=$1 start=$SECONDS status=0
  printf '\n== %s\n' "$name"
  "${@:2}" || status=$?
  times+=("$(printf '%3d min %02d s  %s' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$name")")
  ((status == 0)) || fail "failed: $name"
}

# Compiles one tool after the other. If one fails, wait_for prints its log.
prepare() {
  local tool name arguments
  for tool in "${tools[@]}"; do
    name=${tool:-control plane}
    arguments=("$tool")
    [[ -n $tool ]] || arguments+=(kube-controller-manager)
    tests/e2e/assets.sh "${arguments[@]}" >/dev/null 2>"$work/$name.log"
    echo $? >"$work/status"
    mv "$work/status" "$work/$name.status"
  done
}

# Waits for one tool.
wait_for() {
  local log="$work/$1.log" status="$work/$1.status" printed=0 lines
  until [[ -e $status ]]; do
    # assets.sh prints what it compiles, and the time that this takes.
    lines=$(grep -c '^assets.sh:' "$log" 2>/dev/null || true)
    if ((lines > printed)); then
      grep '^assets.sh:' "$log" | tail -n "+$((printed + 1))"
      printed=$lines
    fi
    sleep 1
  done
  (($(<"$status") == 0)) || {
    cat "$log" >&2
    return 1
  }
}

work=$(mktemp -d)
trap report EXIT
# `set -m` gives it a process group, which can be killed.
set -m
(
  set +e
  renice -n 19 -p "$BASHPID" >/dev/null
  prepare
) &
preparing=$!
set +m

part 'compile pullthrough and the tests (about 4 minutes from nothing)' cargo test --locked --no-run "${of_tests[@]}"
if [[ ${1:-} == ecosystem ]]; then
  for tool in "${tools[@]}"; do
    part "wait for ${tool:-the control plane}" wait_for "${tool:-control plane}"
  done
  part 'ecosystem' cargo test --locked --test ecosystem
  exit
fi
# The list of cargo, so that a new test binary is included.
executables=$(cargo test --locked --no-run 2>&1)
mapfile -t binaries < <(sed -n 's|^ *Executable tests/\([^/]*\)/.*|\1|p' <<<"$executables" | grep -vx e2e)
((${#binaries[@]})) || fail "cargo names no tests: $executables"
part 'units' cargo test --locked --lib --bins
for binary in "${binaries[@]}"; do
  part "$binary" cargo test --locked --test "$binary"
done
part 'examples in the documentation of the code' cargo test --locked --doc
part 'wait for the control plane' wait_for 'control plane'
# These tests wait for API servers most of the time.
RUST_TEST_THREADS=4 part 'e2e, with a real API server' cargo test --locked --test e2e
