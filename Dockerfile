# The bases are build arguments, so that a build can take them from elsewhere or pin them by digest: a release does, and its
# notes name the digests. The version of Rust is that of rust-toolchain.toml, which the build does not get: cargo would
# install components that it has no use for.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-bookworm
# glibc and libgcc of the same Debian, CA certificates, and no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY . .
# The git revision to report, since .git is not part of the build context.
ARG REVISION=unknown
# The same sources, bases and arguments give the same bytes: nothing of the program depends on when it is built, and this is
# its file's time. Builders that know the argument set it as the image's time too.
ARG SOURCE_DATE_EPOCH=0
RUN PULLTHROUGH_REVISION=${REVISION} cargo build --release --locked --bin pullthrough \
  && install -m 755 target/release/pullthrough /pullthrough \
  && touch --date="@${SOURCE_DATE_EPOCH}" /pullthrough

FROM ${RUNTIME_IMAGE}
COPY --from=build /pullthrough /pullthrough
# glibc would raise it to the size of the largest body, and then keep what large bodies had: a third more memory at its most.
ENV MALLOC_MMAP_THRESHOLD_=131072
# Numeric, or the kubelet can't tell that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/pullthrough"]
