#!/usr/bin/env bash
# Prints the folder that holds the binaries of a Kubernetes control plane, or of a tool.
#
#   assets.sh [VERSION [BINARY...]]
#   assets.sh containerd|helm|helm3|kustomize|kyverno|openshift-crds|pre-commit|registries|validate-krew-manifest
#
# VERSION is a minor (1.36) or a patch release (1.36.3), by default $KUBERNETES_VERSION or 1.36. etcd, kube-apiserver
# and kubectl are always there; name others of k8s.io/kubernetes/cmd (kubelet, kube-scheduler, ...) to have them too. With
# containerd come its shim and ctr. `kyverno` is its command line; name kyverno-controller and kyverno-crds to have them too.
#
# KUBEBUILDER_ASSETS, where set, is that folder. Otherwise what is missing is compiled with Go (pre-commit: installed with
# Python), once, into the user's cache.
set -euo pipefail

etcd_version=3.7.3
helm_version=4.3.1
helm3_version=3.22.0
kustomize_version=5.8.2
kyverno_version=1.19.1
precommit_version=4.7.0
validatekrewmanifest_version=0.5.0
containerd_version=2.4.2
openshiftcrds_version=0.0.0-20260420151639-34e60874783e
openshiftutils_version=0.0.0-20230921210328-7bdb5b9c177b
containersimage_version=5.42.0
moby_version=2.0.0-beta.24
# A program of the tests.
registries_source=$(dirname "$(realpath "$0")")/../export/registries/main.go
# shellcheck disable=SC2034 # by its name, as the others
registries_version=$(sha256sum <<<"$(cat "$registries_source") $openshiftcrds_version $openshiftutils_version \
  $containersimage_version $moby_version" | cut -c1-12)

fail() {
  printf 'assets.sh: %s\n' "$*" >&2
  exit 1
}

patch_release() {
  case $1 in
    1.33) echo 1.33.13 ;;
    1.34) echo 1.34.4 ;;
    1.35) echo 1.35.4 ;;
    1.36) echo 1.36.3 ;;
    1.*.*) echo "$1" ;;
    *) fail "no patch release is known for Kubernetes '$1': name one in full, such as 1.36.3" ;;
  esac
}

module_folder() {
  go mod download -json "$1" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p'
}

# Replaces the links to the staging folders of the Kubernetes repository, which a module does not carry, by releases.
kubernetes_module() {
  local source
  source=$(module_folder "k8s.io/kubernetes@v$release")
  sed -e 's|^module .*|module assets|' \
    -e "s|^\(.*k8s.io/[a-z-]*\) v0\.0\.0$|\1 v0.${release#1.}|" \
    -e "s|=> \./staging/src/\(k8s.io/[a-z-]*\)$|=> \1 v0.${release#1.}|" "$source/go.mod" >go.mod
  cat "$source/go.sum" >go.sum
  go mod edit -require "k8s.io/kubernetes@v$release"
}

# A virtual environment can't be moved, so it is made where it stays. The link comes last.
install_pre_commit() {
  python3 -m venv --clear "$assets/venv"
  "$assets/venv/bin/pip" install --quiet "pre-commit==$precommit_version"
  ln -sf venv/bin/pre-commit "$assets/pre-commit"
}

# What binaries of one module have in common.
module_of() {
  case $1 in
    kyverno | kyverno-controller) echo kyverno ;;
    containerd | ctr | containerd-shim-runc-v2) echo containerd ;;
    etcd | helm | helm3 | kustomize | kyverno-crds | openshift-crds | registries | validate-krew-manifest) echo "$1" ;;
    *) echo kubernetes ;;
  esac
}

package_of() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    helm3) echo helm.sh/helm/v3/cmd/helm ;;
    kustomize) echo sigs.k8s.io/kustomize/kustomize/v5 ;;
    kyverno) echo github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno ;;
    kyverno-controller) echo github.com/kyverno/kyverno/cmd/kyverno ;;
    validate-krew-manifest) echo "sigs.k8s.io/krew/cmd/$1" ;;
    containerd | ctr | containerd-shim-runc-v2) echo "github.com/containerd/containerd/v2/cmd/$1" ;;
    registries) echo . ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

# Makes binaries of one module in this folder: their packages are loaded, and those that they share compiled, once.
compile() {
  local module=$1 ldflags='-s -w' tags='' name packages=() built
  case $module in
    openshift-crds)
      for name in imagedigestmirrorsets imagetagmirrorsets; do
        echo ---
        cat "$(module_folder "github.com/openshift/api@v$openshiftcrds_version")"/config/v1/zz_generated.crd-manifests/*_"$name.crd.yaml"
      done >openshift-crds
      return
      ;;
    kyverno-crds)
      cp -r "$(module_folder "github.com/kyverno/kyverno@v$kyverno_version")/config/crds" kyverno-crds
      chmod -R u+w kyverno-crds
      return
      ;;
  esac
  go mod init assets
  case $module in
    registries)
      cp "$registries_source" .
      go mod edit -require "github.com/openshift/api@v$openshiftcrds_version" \
        -require "github.com/openshift/runtime-utils@v$openshiftutils_version" \
        -require "go.podman.io/image/v5@v$containersimage_version" -require "github.com/moby/moby/v2@v$moby_version"
      ;;
    etcd) go mod edit -require "go.etcd.io/etcd/server/v3@v$etcd_version" ;;
    helm) go mod edit -require "helm.sh/helm/v4@v$helm_version" ;;
    helm3) go mod edit -require "helm.sh/helm/v3@v$helm3_version" ;;
    kustomize) go mod edit -require "sigs.k8s.io/kustomize/kustomize/v5@v$kustomize_version" ;;
    kyverno)
      # As its own go.mod has it, which counts in the main module only.
      go mod edit -require "github.com/kyverno/kyverno@v$kyverno_version" \
        -replace "k8s.io/pod-security-admission=github.com/kyverno/pod-security-admission@v0.0.0-20251031094455-46f20778634f"
      ;;
    validate-krew-manifest) go mod edit -require "sigs.k8s.io/krew@v$validatekrewmanifest_version" ;;
    containerd)
      go mod edit -require "github.com/containerd/containerd/v2@v$containerd_version"
      # Snapshotters that need libraries, or are of no use here.
      tags=no_btrfs,no_devmapper,no_zfs
      ldflags+=" -X github.com/containerd/containerd/v2/version.Version=$containerd_version"
      ;;
    kubernetes)
      kubernetes_module
      # Without these the server calls itself v0.0.0 and clients take it for an old one.
      for name in component-base/version client-go/pkg/version; do
        ldflags+=" -X k8s.io/$name.gitVersion=v$release -X k8s.io/$name.gitMajor=1"
        ldflags+=" -X k8s.io/$name.gitMinor=$(echo "$release" | cut -d. -f2)"
      done
      ;;
  esac
  for name in "${@:2}"; do
    packages+=("$(package_of "$name")")
  done
  mkdir built
  CGO_ENABLED=0 GOWORK=off go build -mod=mod -buildvcs=false -trimpath -tags "$tags" -ldflags "$ldflags" -o built/ \
    "${packages[@]}"
  for name in "${@:2}"; do
    built=$(package_of "$name")
    built=${built%/v[0-9]}
    mv "built/$(basename "${built/#./assets}")" "$name"
  done
}

missing_in() {
  local binary
  for binary in "${binaries[@]}"; do
    [[ -e $1/$binary ]] || printf '%s ' "$binary"
  done
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pullthrough
case ${1:-} in
  containerd | helm | helm3 | kustomize | kyverno | openshift-crds | pre-commit | registries | validate-krew-manifest)
    # What KUBEBUILDER_ASSETS names has none.
    unset KUBEBUILDER_ASSETS
    release=none
    binaries=("$1")
    [[ $1 != kyverno ]] || binaries+=(kyverno-controller kyverno-crds)
    [[ $1 != containerd ]] || binaries+=(ctr containerd-shim-runc-v2)
    tool_version=${1//-/}_version
    assets=$cache/$1-${!tool_version}
    ;;
  *)
    release=$(patch_release "${1:-${KUBERNETES_VERSION:-1.36}}")
    binaries=(etcd kube-apiserver kubectl "${@:2}")
    assets=${KUBEBUILDER_ASSETS:-$cache/kubernetes-$release}
    ;;
esac
missing=$(missing_in "$assets")

if [[ -z $missing ]]; then
  printf '%s\n' "$assets"
  exit
fi
[[ -z ${KUBEBUILDER_ASSETS:-} ]] ||
  fail "KUBEBUILDER_ASSETS is $assets, which lacks ${missing% }:" \
    "name a folder that has it, or unset the variable to compile it with Go"
[[ ${1:-} == pre-commit ]] || command -v go >/dev/null ||
  fail "$assets lacks ${missing% }: install Go to compile it, or set KUBEBUILDER_ASSETS to a folder that has it" \
    "('setup-envtest use $release -p path' prints one)"

mkdir -p "$assets"
exec 9>"$assets.lock"
flock --nonblock 9 || {
  echo "assets.sh: another run compiles into $assets; waiting for it" >&2
  flock 9
}

# Another run may have made them meanwhile.
missing=$(missing_in "$assets")
if [[ ${1:-} == pre-commit ]]; then
  [[ -x $assets/pre-commit ]] || install_pre_commit >&2
  printf '%s\n' "$assets"
  exit
fi

declare -A modules
for binary in $missing; do
  modules[$(module_of "$binary")]+=" $binary"
done

# On the file system of the cache, so that a binary appears there whole or not at all.
build=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$build"' EXIT
for module in "${!modules[@]}"; do
  read -ra binaries <<<"${modules[$module]}"
  echo "assets.sh: compiling ${binaries[*]} into $assets" >&2
  mkdir "$build/$module"
  cd "$build/$module"
  compile "$module" "${binaries[@]}" >&2
  mv "${binaries[@]}" "$assets"
done
printf '%s\n' "$assets"
