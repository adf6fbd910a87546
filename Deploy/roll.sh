#!/usr/bin/env bash
# Replaces the containers of services by new ones, without a moment in which nobody answers: each new container is
# ready before an old one is told to end, and an old one ends after its last answer.
#
#   Deploy/roll.sh                     upload, download and auth, one after the other (download calls upload)
#   Deploy/roll.sh upload              one of them
#
# Where a new container does not become healthy, the new ones go, the old ones stay, and the status is 1.
# The gateway is not among them: it holds the port. `docker compose up -d --no-deps gateway` replaces it within seconds.
set -euo pipefail
cd "$(dirname "$0")"
# Longest time until a new container is healthy.
ready_seconds=${READY_SECONDS:-120}
services=("$@")
[[ ${#services[@]} -gt 0 ]] || services=(upload download auth)
for service in "${services[@]}"; do
    [[ $service =~ ^(auth|upload|download)$ ]] || { echo "roll.sh: not auth, upload or download: $service" >&2; exit 64; }
done

# Containers of before, new ones, and old ones that are ending.
old=() new=() past=()
# Those of the service, also ended ones, but not what `docker compose run` has started.
containers() {
    docker compose ps -aq "$1" |
        xargs -r docker inspect -f '{{index .Config.Labels "com.docker.compose.oneoff"}} {{.Id}}' |
        sed -n 's/^False //p' | sort
}
# The names of the compose files that a container was started with.
files() {
    docker inspect -f '{{index .Config.Labels "com.docker.compose.project.config_files"}}' "$1" |
        tr ',' '\n' | sed 's!.*/!!' | paste -sd:
}
remove() {
    local id
    for id in "$@"; do
        # Gone already where this was interrupted before.
        docker stop "$id" >/dev/null 2>&1 || true
        docker rm "$id" >/dev/null 2>&1 || true
    done
}
# Whatever ends this early, the old ones go on alone.
undo() {
    local status=$?
    trap - EXIT
    if [[ ${#old[@]} -gt 0 ]]; then
        mapfile -t new < <(comm -13 <(printf '%s\n' "${old[@]}") <(containers "$service"))
        remove "${new[@]}"
        echo "roll.sh: $service is as it was before" >&2
    fi
    # Interrupted while they ended: the new ones serve already.
    remove "${past[@]}"
    exit "$status"
}
trap undo EXIT
trap 'exit 130' INT TERM

# The first container that is not healthy; nothing where all are. A restart is no failure; only the time limit is.
unhealthy() {
    local id
    for id in "$@"; do
        [[ $(docker inspect -f '{{.State.Health.Status}}' "$id") == healthy ]] || { echo "$id"; return; }
    done
}

for service in "${services[@]}"; do
    mapfile -t old < <(containers "$service")
    [[ ${#old[@]} -gt 0 ]] || { echo "roll.sh: no container of $service runs" >&2; exit 69; }
    count=${#old[@]}
    echo "$service: $count new beside $count old"
    docker compose up -d --no-deps --no-recreate --scale "$service=$((2 * count))" "$service"
    mapfile -t new < <(comm -13 <(printf '%s\n' "${old[@]}") <(containers "$service"))
    [[ ${#new[@]} -eq $count ]] || { echo "roll.sh: ${#new[@]} new containers of $service instead of $count" >&2; exit 1; }
    if [[ $(files "${new[0]}") != "$(files "${old[0]}")" ]]; then
        echo "roll.sh: $service was started with $(files "${old[0]}"); set COMPOSE_FILE to that" >&2
        exit 1
    fi
    end=$((SECONDS + ready_seconds))
    while waiting=$(unhealthy "${new[@]}") && [[ -n $waiting ]]; do
        if ((SECONDS >= end)); then
            echo "roll.sh: $service is not healthy after $ready_seconds s. Its last lines:" >&2
            docker logs --tail 5 "$waiting" >&2
            exit 1
        fi
        sleep 0.5
    done
    past=("${old[@]}")
    # From here on the new ones are those that stay.
    old=()
    remove "${past[@]}"
    past=()
    echo "$service: the old ones are gone"
done
