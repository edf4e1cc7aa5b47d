# The base images are build arguments, so that a build can use other registries or digests. A release pins both by digest, and
# lists the digests in its notes. The version of Rust is that of rust-toolchain.toml. The file is not in the build context, because
# cargo would install components that the build does not need.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-bookworm
# glibc and libgcc of the same Debian, CA certificates, and no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY . .
# The git revision to report. .git is not in the build context.
ARG REVISION=unknown
# The same sources, base images and arguments give the same bytes. The program does not depend on the build time, and its file
# gets this time. Builders that support the argument also use it as the time of the image.
ARG SOURCE_DATE_EPOCH=0
RUN PULLTHROUGH_REVISION=${REVISION} cargo build --release --locked --bin pullthrough \
  && install -m 755 target/release/pullthrough /pullthrough \
  && touch --date="@${SOURCE_DATE_EPOCH}" /pullthrough

FROM ${RUNTIME_IMAGE}
COPY --from=build /pullthrough /pullthrough
# Without a fixed threshold, glibc raises it to the size of the largest body and does not return that memory. The peak would be a
# third higher.
ENV MALLOC_MMAP_THRESHOLD_=131072
# Numeric, because the kubelet can't check a name against runAsNonRoot.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/pullthrough"]
