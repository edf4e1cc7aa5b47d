#!/usr/bin/env bash
# Prints the folder that holds the binaries of a Kubernetes control plane, or of a tool.
#
#   assets.sh [VERSION [BINARY...]]
#   assets.sh containerd|crane|distribution|helm|helm3|kustomize|kyverno|olm|openshift-crds|pre-commit|registries
#   assets.sh renovate-schema|validate-krew-manifest
#
# VERSION is a minor (1.36) or a patch release (1.36.3), by default $KUBERNETES_VERSION or 1.36. The folder always has etcd,
# kube-apiserver and kubectl. BINARY is a further command of k8s.io/kubernetes/cmd, such as kubelet or kube-scheduler. `kyverno`
# includes kyverno-controller and kyverno-crds, and `containerd` includes its shim and ctr. `distribution` is the registry.
#
# If KUBEBUILDER_ASSETS is set, it is the folder. Otherwise missing binaries are compiled with Go once, into the user's cache;
# pre-commit is installed with Python, and the schema of Renovate with npm.
set -euo pipefail

etcd_version=3.7.3
helm_version=4.3.1
helm3_version=3.22.0
kustomize_version=5.8.2
kyverno_version=1.19.1
precommit_version=4.7.0
validatekrewmanifest_version=0.5.0
containerd_version=2.4.2
crane_version=0.22.1
distribution_version=3.1.2
openshiftcrds_version=0.0.0-20260420151639-34e60874783e
openshiftutils_version=0.0.0-20230921210328-7bdb5b9c177b
containersimage_version=5.42.0
moby_version=2.0.0-beta.24
renovateschema_version=44.121.2
operatorlifecyclemanager_version=0.46.0
# Programs of the tests. Their versions are read by their names, like the others.
ecosystem=$(dirname "$(realpath "$0")")/../ecosystem
olm_source=$ecosystem/operators/olm/main.go
# shellcheck disable=SC2034
olm_version=$operatorlifecyclemanager_version-$(sha256sum "$olm_source" | cut -c1-12)
registries_source=$ecosystem/export/registries/main.go
# shellcheck disable=SC2034
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
    *) fail "no patch release is known for Kubernetes '$1': write a full version, such as 1.36.3" ;;
  esac
}

module_folder() {
  go mod download -json "$1" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p'
}

# Replaces the links to staging folders of the Kubernetes repository, which are not in its module, by releases.
kubernetes_module() {
  local source
  source=$(module_folder "k8s.io/kubernetes@v$release")
  sed -e 's|^module .*|module assets|' \
    -e "s|^\(.*k8s.io/[a-z-]*\) v0\.0\.0$|\1 v0.${release#1.}|" \
    -e "s|=> \./staging/src/\(k8s.io/[a-z-]*\)$|=> \1 v0.${release#1.}|" "$source/go.mod" >go.mod
  cat "$source/go.sum" >go.sum
  go mod edit -require "k8s.io/kubernetes@v$release"
}

# A virtual environment can't be moved, so it is created in its final place. The link comes last.
install_pre_commit() {
  python3 -m venv --clear "$assets/venv"
  "$assets/venv/bin/pip" install --quiet "pre-commit==$precommit_version"
  ln -sf venv/bin/pre-commit "$assets/pre-commit"
}

# Prints the time on two cores from nothing. Later modules take less, because they share packages.
minutes_of() {
  case $1 in
    kubernetes) echo 6 minutes ;;
    kyverno) echo 16 minutes ;;
    helm) echo 4 minutes ;;
    olm) echo 3 minutes ;;
    kyverno-crds | openshift-crds | renovate-schema) echo some seconds ;;
    *) echo 1 minute ;;
  esac
}

# Prints the module of a binary.
module_of() {
  case $1 in
    kyverno | kyverno-controller) echo kyverno ;;
    containerd | ctr | containerd-shim-runc-v2) echo containerd ;;
    crane | distribution | etcd | helm | helm3 | kustomize | kyverno-crds | olm | openshift-crds | registries | \
      renovate-schema | validate-krew-manifest)
      echo "$1"
      ;;
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
    crane) echo github.com/google/go-containerregistry/cmd/crane ;;
    distribution) echo github.com/distribution/distribution/v3/cmd/registry ;;
    olm | registries) echo . ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

# Compiles binaries of one module in this folder. One run of Go loads and compiles their shared packages once.
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
    renovate-schema)
      npm pack --silent "renovate@$renovateschema_version"
      tar -xzf "renovate-$renovateschema_version.tgz" package/renovate-schema.json
      mv package/renovate-schema.json renovate-schema
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
    olm)
      cp "$olm_source" .
      go mod edit -require "github.com/operator-framework/operator-lifecycle-manager@v$operatorlifecyclemanager_version"
      ;;
    distribution) go mod edit -require "github.com/distribution/distribution/v3@v$distribution_version" ;;
    etcd) go mod edit -require "go.etcd.io/etcd/server/v3@v$etcd_version" ;;
    helm) go mod edit -require "helm.sh/helm/v4@v$helm_version" ;;
    helm3) go mod edit -require "helm.sh/helm/v3@v$helm3_version" ;;
    crane) go mod edit -require "github.com/google/go-containerregistry@v$crane_version" ;;
    kustomize) go mod edit -require "sigs.k8s.io/kustomize/kustomize/v5@v$kustomize_version" ;;
    kyverno)
      # The replacement in Kyverno's go.mod, which has an effect in the main module only.
      go mod edit -require "github.com/kyverno/kyverno@v$kyverno_version" \
        -replace "k8s.io/pod-security-admission=github.com/kyverno/pod-security-admission@v0.0.0-20251031094455-46f20778634f"
      ;;
    validate-krew-manifest) go mod edit -require "sigs.k8s.io/krew@v$validatekrewmanifest_version" ;;
    containerd)
      go mod edit -require "github.com/containerd/containerd/v2@v$containerd_version"
      # Without snapshotters that need libraries or that the tests do not use.
      tags=no_btrfs,no_devmapper,no_zfs
      ldflags+=" -X github.com/containerd/containerd/v2/version.Version=$containerd_version"
      ;;
    kubernetes)
      kubernetes_module
      # Without these flags the server reports v0.0.0, and clients treat it as an old version.
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
  containerd | crane | distribution | helm | helm3 | kustomize | kyverno | olm | openshift-crds | pre-commit | registries | \
    renovate-schema | validate-krew-manifest)
    # The folder in KUBEBUILDER_ASSETS does not have these tools.
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
    "set it to another folder, or unset it to compile them with Go"
[[ ${1:-} == pre-commit ]] || command -v go >/dev/null ||
  fail "$assets lacks ${missing% }: install Go to compile them, or set KUBEBUILDER_ASSETS to a folder that has them" \
    "('setup-envtest use $release -p path' prints one)"

mkdir -p "$assets"
exec 9>"$assets.lock"
flock --nonblock 9 || {
  echo "assets.sh: waiting for another run, which compiles ${missing% } into $assets" >&2
  flock 9
}

# Another run may have compiled them in the meantime.
missing=$(missing_in "$assets")
if [[ ${1:-} == pre-commit ]]; then
  [[ -x $assets/pre-commit ]] || {
    echo "assets.sh: installing pre-commit with pip: about 1 minute, once; into $assets" >&2
    install_pre_commit >&2
  }
  printf '%s\n' "$assets"
  exit
fi

declare -A modules
for binary in $missing; do
  modules[$(module_of "$binary")]+=" $binary"
done

# On the file system of the cache, so that a binary is moved there in one step.
build=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$build"' EXIT
for module in "${!modules[@]}"; do
  read -ra binaries <<<"${modules[$module]}"
  echo "assets.sh: downloading and compiling ${binaries[*]}: about $(minutes_of "$module") on two cores, once; into $assets" >&2
  mkdir "$build/$module"
  cd "$build/$module"
  compile "$module" "${binaries[@]}" >&2
  mv "${binaries[@]}" "$assets"
done
printf '%s\n' "$assets"
