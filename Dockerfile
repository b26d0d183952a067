# Everything is built from the manifests and src/ alone, so the size of the folder that it is built from does not matter.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# The dependencies alone, so that this layer lasts until the manifests change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin clustergate

# Cargo goes by the time of a file, and those that are copied may be older than the ones of the layer above.
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin clustergate


FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="clustergate" \
      org.opencontainers.image.description="One normalized, honest REST API over every vendor that runs or watches your clusters" \
      org.opencontainers.image.licenses="Apache-2.0"

# The certificate authorities are inside the binary; it needs the C library and libgcc, and writes to its volume alone.
COPY --from=build /build/target/release/clustergate /usr/local/bin/clustergate

# What is known outlives the container where this is a volume that is kept:
#   docker run --mount type=volume,src=clustergate,dst=/var/lib/clustergate …
ENV CLUSTERGATE_DATA_DIR=/var/lib/clustergate
RUN install --directory --mode=0700 --owner=65532 --group=65532 "$CLUSTERGATE_DATA_DIR"
VOLUME /var/lib/clustergate

# A number, so that an orchestrator can see that it is not root.
USER 65532:65532

# Nothing controls who may read the inventory, so `serve` refuses an address that others can reach. Inside a container no
# other address is of use: whoever publishes the port only to those who may read says so with CLUSTERGATE_INSECURE_BIND=true.
#   docker run -p 127.0.0.1:8650:8650 -e CLUSTERGATE_INSECURE_BIND=true -e LATITUDESH_BEARER clustergate
#   docker run -p 127.0.0.1:8650:8650 clustergate demo
ENV CLUSTERGATE_LISTEN=0.0.0.0:8650
EXPOSE 8650
STOPSIGNAL SIGTERM
# It asks where and how the variables and the file of CLUSTERGATE_CONFIG have the gateway listen, over TLS as well.
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/clustergate", "health"]
ENTRYPOINT ["/usr/local/bin/clustergate"]
CMD ["serve"]
