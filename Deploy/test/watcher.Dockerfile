# A program of Debian's that watches, as compose.yaml runs its image: for compose-test.sh alone.
FROM debian:bookworm-slim
ARG PACKAGE
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$PACKAGE" \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ARG PROGRAM
RUN ln -s "/usr/bin/$PROGRAM" /usr/local/bin/program \
    && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["/usr/local/bin/program"]
