ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
# glibc and libgcc of the same Debian, no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY . .
# The git revision to report, since .git is not part of the build context.
ARG REVISION=unknown
RUN PULLTHROUGH_REVISION=${REVISION} cargo build --release --locked --bin pullthrough

FROM ${RUNTIME_IMAGE}
COPY --from=build /build/target/release/pullthrough /pullthrough
# Numeric, or the kubelet can't tell that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/pullthrough"]
