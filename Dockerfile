# The image: the program, the C library it needs, certificates. No shell, no package manager, no root.
#   docker build -t aion .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg REVISION="$(git rev-parse HEAD)" -t aion .
ARG RUST_VERSION=1.95
FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-slim-bookworm AS build
ARG TARGETARCH
# The compiler runs on the builder's own architecture; a linker for the other one comes from Debian.
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) gnu=x86_64-linux-gnu cross="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
        arm64) gnu=aarch64-linux-gnu cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
        *) echo "no image for $TARGETARCH: amd64 or arm64" >&2; exit 1 ;; \
    esac; \
    if [ "$(dpkg --print-architecture)" = "$TARGETARCH" ]; then cross="gcc libc6-dev"; fi; \
    apt-get update -qq; \
    apt-get install -y -qq --no-install-recommends $cross ca-certificates; \
    rm -rf /var/lib/apt/lists/*; \
    rustup target add "$(echo "$gnu" | sed 's/-linux-/-unknown-linux-/')"; \
    echo "$gnu" > /gnu
WORKDIR /src
COPY . .
ARG REVISION
ARG BRANCH
ARG SOURCE_DATE_EPOCH
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    set -eu; gnu=$(cat /gnu); target=$(echo "$gnu" | sed 's/-linux-/-unknown-linux-/'); \
    upper=$(echo "$target" | tr a-z- A-Z_); under=$(echo "$target" | tr - _); \
    export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc" "CC_$under=$gnu-gcc" "AR_$under=$gnu-ar"; \
    export AION_REVISION="${REVISION:-}" AION_BRANCH="${BRANCH:-}" SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-}"; \
    cargo build --locked --profile dist --target "$target"; \
    mkdir -p /out; deploy/rootfs "target/$target/dist/aion" "$gnu" /out

FROM scratch
COPY --from=build /out/ /
LABEL org.opencontainers.image.title="aion" \
      org.opencontainers.image.description="The long-term, global layer for Prometheus metrics" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes sees that it is not root.
USER 65532:65532
WORKDIR /var/lib/aion
VOLUME /var/lib/aion
EXPOSE 9090 10901 10902
ENTRYPOINT ["/bin/aion"]
CMD ["--help"]
