#!/usr/bin/env bash
# Replaces the containers of services by new ones, without a moment in which nobody answers: each new container is
# ready before an old one is told to end, and an old one ends after its last answer.
#
#   Deploy/roll.sh                     upload, download and auth, one after the other (download calls upload)
#   Deploy/roll.sh upload              one of them
#
# The gateway is not among them: it holds the port. `docker compose up -d --no-deps gateway` replaces it within seconds.
set -euo pipefail
cd "$(dirname "$0")"
services=("$@")
[[ ${#services[@]} -gt 0 ]] || services=(upload download auth)

for service in "${services[@]}"; do
    [[ $service =~ ^(auth|upload|download)$ ]] || { echo "roll.sh: not auth, upload or download: $service" >&2; exit 64; }
    mapfile -t old < <(docker compose ps -q "$service")
    [[ ${#old[@]} -gt 0 ]] || { echo "roll.sh: no container of $service runs" >&2; exit 69; }
    echo "$service: ${#old[@]} new beside ${#old[@]} old"
    docker compose up --wait --no-deps --no-recreate --scale "$service=$((2 * ${#old[@]}))" "$service"
    for id in "${old[@]}"; do
        docker stop "$id" >/dev/null
        docker rm "$id" >/dev/null
    done
    echo "$service: the old ones are gone"
done
