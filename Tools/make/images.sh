#!/usr/bin/env bash
# Builds the five images of Deploy/Dockerfile, and pgbouncer's, and prints their sizes. The log goes to standard error.
#
# usage: images.sh [source|prebuilt]
#   source    compiles inside the build, as on a machine without Swift (the default)
#   prebuilt  takes the programs of `make binaries`
# IMAGE_PREFIX (oversync) and IMAGE_TAG (latest) name them, from the environment or Deploy/.env. DOCKER is the client, one
# with BuildKit; BUILD_PROXY is apt's proxy, where one is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-source}
# set_in_env NAME: its value in the file that compose reads.
set_in_env() { sed -nE "s/^$1=[\"']?([^\"' #]+).*/\1/p" Deploy/.env 2>/dev/null | tail -n1 || true; }
prefix=${IMAGE_PREFIX:-$(set_in_env IMAGE_PREFIX)}
prefix=${prefix:-oversync}
tag=${IMAGE_TAG:-$(set_in_env IMAGE_TAG)}
tag=${tag:-latest}
docker=${DOCKER:-docker}
# Longest time of one image: compiling takes a quarter of an hour on two cores.
seconds=7200
export DOCKER_BUILDKIT=1

version=$(sed -nE 's/.*static let version = "([^"]+)".*/\1/p' Shared/ServiceKit/BuildInfo.swift 2>/dev/null | head -n1 || true)
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || true)
arguments=(--build-arg "BINARIES=$binaries" --build-arg "VERSION=${version:-0.0.0}" --build-arg "COMMIT=$commit")
[[ -z ${BUILD_PROXY:-} ]] || arguments+=(--build-arg "http_proxy=$BUILD_PROXY")

for target in gateway upload download auth tool; do
    timeout "$seconds" "$docker" build --progress=plain -f Deploy/Dockerfile --target "$target" "${arguments[@]}" \
        -t "$prefix-$target:$tag" . >&2
done
timeout "$seconds" "$docker" build --progress=plain ${BUILD_PROXY:+--build-arg "http_proxy=$BUILD_PROXY"} \
    -t "$prefix-pgbouncer:$tag" Deploy/pgbouncer >&2
for target in gateway upload download auth tool pgbouncer; do
    bytes=$(timeout 30 "$docker" image inspect -f '{{.Size}}' "$prefix-$target:$tag")
    echo "$prefix-$target:$tag $((bytes / 1000000)) MB"
done
