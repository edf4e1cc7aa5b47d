#!/usr/bin/env bash
# Prints the folder with the images of the cluster, as OCI archives. pullthrough.tar is built with the project's Dockerfile.
# pause.tar and hello.tar have a program that waits.
#
#   images.sh [waiting|program]
#
# `waiting` builds only those that wait, which takes seconds. `program` prints the path of the program in pullthrough.tar
# instead. It is a release build, so other tests need not compile one.
#
# The images are built once for each state of their inputs. They are stored in the user's cache, with the compiled dependencies.
# The base images are built from Debian packages, with the toolchain and the sources of dependencies of this machine. So no
# registry is needed.
set -euo pipefail

suite=bookworm # of the Dockerfile's base images
days_kept=14

fail() {
  printf 'images.sh: %s\n' "$*" >&2
  exit 1
}

buildah() {
  command buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"
}

build() {
  buildah bud --quiet --isolation chroot "$@" >/dev/null
}

archive() {
  buildah push --quiet "localhost/$1" "oci-archive:$work/images/$1.tar:$1"
}

# A base image of Debian packages, and more lines of a Dockerfile: base NAME VARIANT PACKAGES [LINE...]
base() {
  local name=$1 variant=$2 packages=$3 context=$work/$1 root
  root=$cache/debian-$suite-$variant-${packages//,/-}.tar
  if [[ ! -e $root ]]; then
    echo "images.sh: building a root file system from Debian packages: about 1 minute, once; into $root" >&2
    mmdebstrap --quiet --variant="$variant" --include="$packages" "$suite" "$work/root.tar" ||
      fail "mmdebstrap failed to build $root, see above"
    mv "$work/root.tar" "$root"
  fi
  mkdir "$context"
  ln "$root" "$context/root.tar"
  printf '%s\n' 'FROM scratch' 'ADD root.tar /' "${@:4}" >"$context/Dockerfile"
  build --tag "localhost/$name" "$context"
}

build_pullthrough() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  cargo fetch --locked --quiet --target "$host"
  base build-base essential gcc,libc6-dev \
    'ENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true'
  # Without a shell, like the base of the Dockerfile.
  base runtime-base extract libc6,libgcc-s1
  mkdir -p "$cache/image-target"
  build --tag localhost/pullthrough --timestamp 0 \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" \
    --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry:ro" \
    --volume "$cache/image-target:/build/target" \
    --build-arg BUILD_IMAGE=localhost/build-base --build-arg RUNTIME_IMAGE=localhost/runtime-base .
  archive pullthrough
  # The build of the Dockerfile, through the volume.
  install -m 755 "$cache/image-target/release/pullthrough" "$work/images/pullthrough"
}

build_waiting() {
  local context=$work/waiting name
  mkdir "$context"
  rustc --edition 2024 -C opt-level=s -C strip=symbols -C target-feature=+crt-static -o "$context/wait" \
    tests/cluster/wait.rs
  for name in pause hello; do
    # Each has another name for the program, so that the images share no layer or manifest.
    printf '%s\n' 'FROM scratch' "COPY wait /$name" "ENTRYPOINT [\"/$name\"]" >"$context/Dockerfile"
    build --tag "localhost/$name" "$context"
    archive "$name"
  done
}

for needed in buildah mmdebstrap rustc cargo; do
  command -v "$needed" >/dev/null || fail "$needed is missing: run tests/install.sh cluster, and install Rust"
done
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pullthrough
inputs=(tests/cluster/images.sh tests/cluster/wait.rs)
kind=${1:-}
program=
if [[ $kind == program ]]; then
  program=/pullthrough
  kind=
fi
case $kind in
  '') inputs+=(Dockerfile .dockerignore Cargo.toml Cargo.lock engine/Cargo.toml engine/src src) ;;
  waiting) ;;
  *) fail "unknown: $kind; leave it out, or write waiting or program" ;;
esac
state=$({
  rustc -vV
  find "${inputs[@]}" -type f -print0 | LC_ALL=C sort --zero-terminated | xargs -0 sha256sum
} | sha256sum | cut -c 1-16)
images=$cache/images-${kind:+$kind-}$state

mkdir -p "$cache"
exec 9>"$cache/images.lock"
flock 9
if [[ ! -d $images ]]; then
  # On the file system of the cache, so that the folder is moved there in one step.
  work=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  mkdir "$work/images"
  build_waiting
  if [[ -z $kind ]]; then
    echo "images.sh: building the image of pullthrough: some minutes, once for each state of the sources; into $images" >&2
    build_pullthrough
  fi
  mv "$work/images" "$images"
fi
touch "$images"
# Old images, and folders that a killed run has left behind.
find "$cache" -maxdepth 1 -type d \( -name 'images-*' -o -name 'build.??????' \) -mtime "+$days_kept" \
  -exec rm -rf --one-file-system {} +
printf '%s\n' "$images$program"
