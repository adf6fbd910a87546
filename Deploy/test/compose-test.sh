#!/usr/bin/env bash
# Shows on a real Docker engine that the deployment of Deploy/ does what its README says, and prints a table of what was
# seen. The first thing that is otherwise ends it with status 1.
#
# usage: compose-test.sh [prebuilt|source|given]
#   prebuilt  the images take the programs of `make binaries` (the default); less than 15 minutes
#   source    the images compile them
#   given     the images of IMAGE_PREFIX and IMAGE_TAG, as they are
# Uses the caller's Docker engine; where there is none, a private one that WITH_ENGINE starts, a script that runs a
# command beside an engine of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-prebuilt}
with_engine=${WITH_ENGINE:-../shared/docker/with-engine.sh}

if ! timeout 10 docker info >/dev/null 2>&1; then
    [[ -x $with_engine ]] || { echo "compose-test.sh: no Docker engine, and no $with_engine to start one" >&2; exit 69; }
    options=()
    [[ $binaries == source ]] && options=(--swift)
    # Debian's client: it builds with BuildKit without a plugin.
    DOCKER=/usr/bin/docker exec "$with_engine" "${options[@]}" "$0" "$binaries"
fi

# shellcheck source=Deploy/test/lib.sh
source Deploy/test/lib.sh
# shellcheck source=Deploy/test/operations.sh
source Deploy/test/operations.sh
export COMPOSE_PROJECT_NAME=oversync-test GATEWAY_PORT=18443 COMPOSE_PROGRESS=plain
# A private engine may not be allowed more open files than this.
export GATEWAY_OPEN_FILES=20000
export IMAGE_PREFIX=${IMAGE_PREFIX:-oversync} IMAGE_TAG=${IMAGE_TAG:-compose-test}
work=$PWD/.oversync/compose-test
files=(-f "$work/Deploy/compose.yaml")
access=(--gateway https://gateway:8443 --ca /run/secrets/gateway_ca --token-secret-file /run/secrets/jwt_hs256_secret)
current=start

end() {
    local status=$?
    trap - EXIT
    set +e
    if [[ $status -ne 0 ]]; then
        echo "compose-test: FAILED in step: $current" >&2
        compose ps -a --format 'table {{.Name}}\t{{.Status}}' >&2
        compose logs --no-color --tail 15 >&2
        tail -n 20 "$work/compose.log" >&2
    fi
    docker rm -f "$COMPOSE_PROJECT_NAME-load" >/dev/null 2>&1
    compose --profile '*' down -v --remove-orphans -t 5
    table
    say "$([[ $status -eq 0 ]] && echo passed || echo FAILED)"
    exit "$status"
}

images() {
    [[ $binaries != given ]] || { note="as they are"; return; }
    Tools/make/images.sh "$binaries" >"$work/images.txt" 2>"$work/images.log" || {
        tail -n 30 "$work/images.log" >&2
        fail "the images could not be built"
    }
    cat "$work/images.txt"
    note=$(sed -E 's/:[^ ]+//; s/^.*-//' "$work/images.txt" | paste -sd, | sed 's/,/, /g')
}
no_more_than_needed() {
    local target inside
    for target in gateway upload download auth tool; do
        # shellcheck disable=SC2016
        inside=$(docker run --rm --network none --entrypoint bash "$IMAGE_PREFIX-$target:$IMAGE_TAG" -c '
            ls /usr/lib/*/libpq.so.5 2>/dev/null; command -v gcc cc clang swift swiftc ld
            ls /usr/local/bin; id -u; ldd /usr/local/bin/* | grep "not found"' || true)
        [[ $inside != *"not found"* ]] || fail "$target lacks a library: $inside"
        ! grep -qE '/(gcc|cc|clang|swift|swiftc|ld)$' <<<"$inside" || fail "$target has a compiler: $inside"
        [[ $target != gateway ]] || ! grep -q libpq <<<"$inside" || fail "the gateway's image has libpq"
        grep -qx 10001 <<<"$inside" || fail "$target does not run as 10001: $inside"
    done
    note="no compiler, all libraries, uid 10001; no libpq in gateway"
}
setup() {
    cp -R Deploy "$work/"
    rm -rf "$work/Deploy/"{secrets,.env,config/oversync.yaml}
    "$work/Deploy/setup.sh" >/dev/null
    sha256sum "$work"/Deploy/secrets/* >"$work/before"
    "$work/Deploy/setup.sh" >/dev/null
    sha256sum --quiet -c "$work/before"
    # What a run that was killed has left.
    compose --profile '*' down -v --remove-orphans -t 5 >/dev/null
    note="a second run changes nothing"
}
up() {
    compose up --wait --scale download=3 >/dev/null
    is_ready || fail "the gateway is not ready: $(gateway_ready)"
    [[ $(containers download | wc -l) -eq 3 ]] || fail "not three replicas of download"
    note="healthy, three download"
}

# The commands of steps 4 and 5 of the README, as they stand there: a team's own table, and two devices.
as_the_readme_says() {
    local seen
    awk '/^\*\*4\. /{on=1} /^In an app:/{on=0} /^```$/{code=0} on&&code{print} /^```sh$/{code=1}' Deploy/README.md |
        sed "s/localhost:8443/localhost:$GATEWAY_PORT/" >"$work/readme.sh"
    # shellcheck disable=SC2016
    seen=$(cd "$work/Deploy" && timeout "$command_seconds" bash -euo pipefail -c '
        docker() { command "${DOCKER:-docker}" "$@"; }
        curl() { ${IN_ENGINE:-command} curl "$@"; }
        # Services look for changes every five seconds.
        eval "$(sed "s/^ask phone/sleep 6; ask phone/" ../readme.sh)"' 2>>"$work/compose.log") || fail "the README fails: $seen"
    [[ $seen == *'"applied"'* && $(grep -c 'from a phone' <<<"$seen") -ge 2 ]] || fail "the README shows: $seen"
    note="a change from one device is in the table and at another"
}

# Every container, seen from its inside: what its processes may do.
from_inside() {
    local service id seen
    for service in postgres auth upload download gateway; do
        for id in $(containers "$service"); do
            seen=$(docker exec "$id" bash -c '
                grep -hE "^(Uid|CapEff|CapPrm|CapBnd|NoNewPrivs):" /proc/1/status | tr -d "\t "
                touch /here 2>&1; ls /run/secrets')
            grep -qE '^Uid:(10001|999)' <<<"$seen" || fail "$service runs as root: $seen"
            [[ $(grep -cE '^Cap(Eff|Prm|Bnd):0*$' <<<"$seen") -eq 3 ]] || fail "$service has capabilities: $seen"
            grep -q '^NoNewPrivs:1' <<<"$seen" || fail "$service may gain privileges: $seen"
            grep -q 'Read-only file system' <<<"$seen" || fail "$service writes to its root: $seen"
            [[ $service == auth ]] || ! grep -q auth_master_key <<<"$seen" || fail "$service has auth's key"
            [[ $service == postgres ]] || ! grep -q database_owner <<<"$seen" || fail "$service has the owner's password"
        done
    done
    note="uid, capabilities, no-new-privileges, read-only root"
}
# No secret, whole or by the line, where it does not belong.
no_secret_leaks() {
    local id file
    for file in "$work"/Deploy/secrets/*; do
        [[ $file == *.pem ]] || grep -v -- ----- "$file" || true
    done | grep -E '.{16,}' >"$work/patterns"
    [[ $(wc -l <"$work/patterns") -ge 10 ]] || fail "too few secrets to look for"
    : >"$work/exposed"
    for id in $(compose ps -aq); do
        docker inspect "$id" >>"$work/exposed"
        docker logs "$id" >>"$work/exposed" 2>&1
        docker exec "$id" bash -c 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline' >>"$work/exposed" 2>/dev/null || true
    done
    docker image inspect "$IMAGE_PREFIX-"{gateway,upload,download,auth,tool}":$IMAGE_TAG" >>"$work/exposed"
    [[ $(wc -c <"$work/exposed") -gt 10000 ]] || fail "nothing was looked through"
    ! grep -aqF -f "$work/patterns" "$work/exposed" || fail "a secret is visible in inspect, logs or environment"
    note="$(wc -l <"$work/patterns") secrets, $(($(wc -c <"$work/exposed") / 1000)) kB looked through"
}

pages_of() {
    # shellcheck disable=SC2016
    docker exec "$1" bash -c 'exec 3<>/dev/tcp/127.0.0.1/9090
        printf "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3; cat <&3' |
        awk '/^oversync_rpc_seconds_count\{.*side="server"/ { sum += $NF } END { printf "%d", sum }'
}
has_pages() { (($(pages_of "$1") > 20)); }
scale_under_load() {
    local id share=()
    compose up --wait --no-recreate --scale download=1 >/dev/null
    load_start --writers 4 --readers 8
    compose up --wait --no-recreate --scale download=3 >/dev/null
    for id in $(containers download); do
        wait_until 20 "each replica of download serves" has_pages "$id"
        share+=("$(pages_of "$id")")
    done
    compose up --wait --no-recreate --scale download=1 >/dev/null
    load_writes 5
    load_end
    nothing_failed
    note="calls by replica: ${share[*]}; no request failed"
}
# A new version: each new container is ready before its old one ends.
roll_under_load() {
    local old
    old=$(containers upload)
    load_start --writers 4 --readers 4
    timeout 300 "$work/Deploy/roll.sh" >>"$work/compose.log" 2>&1 || fail "roll.sh failed"
    load_writes 5
    load_end
    nothing_failed
    [[ $(containers upload) != "$old" ]] || fail "upload is the same container as before"
    note="no request failed; $note"
}
# A new version that cannot start: the old ones go on as if nothing had been tried.
roll_fails() {
    local old status=0
    old=$(containers upload)
    load_start --writers 4 --readers 4
    echo "OVERSYNC_UPLOAD_POOL_MAX=none" >>"$work/Deploy/.env"
    READY_SECONDS=5 timeout 300 "$work/Deploy/roll.sh" upload >>"$work/compose.log" 2>&1 || status=$?
    sed -i '/^OVERSYNC_UPLOAD_POOL_MAX=none$/d' "$work/Deploy/.env"
    load_writes 5
    load_end
    nothing_failed
    [[ $status -ne 0 ]] || fail "roll.sh succeeded with a setting that cannot work"
    [[ $(containers upload) == "$old" ]] || fail "upload is not what it was: $(containers upload)"
    note="status $status, the old one serves; $note"
}
served_certificate() {
    in_engine openssl s_client -connect "127.0.0.1:$GATEWAY_PORT" </dev/null 2>/dev/null |
        openssl x509 -noout -serial -ext subjectAltName 2>/dev/null
}
has_new_certificate() { [[ $(served_certificate | head -n1) != "$1" ]] && is_ready; }
# Certificates and the owner's password are renewed, and backups are taken, by the commands of the README.
operators_days() {
    local names serial owner
    names=$(served_certificate | tail -n1)
    serial=$(served_certificate | head -n1)
    "$work/Deploy/setup.sh" --renew >/dev/null
    wait_until 10 "the gateway serves its new certificate" has_new_certificate "$serial"
    [[ $(served_certificate | tail -n1) == "$names" ]] || fail "other names: $(served_certificate), before: $names"
    ! "$work/Deploy/setup.sh" another.example.com >/dev/null 2>&1 || fail "setup.sh passes over a name in silence"
    owner=$(openssl rand -hex 24)
    cat >"$work/Deploy/secrets/database_owner_password" <<<"$owner"
    ! compose run --rm --no-deps -T migrate >/dev/null 2>&1 || fail "a password that PostgreSQL does not know is taken"
    compose exec -T postgres bash /etc/oversync/owner-password.sh
    compose run --rm --no-deps -T migrate >/dev/null || fail "the owner's new password is not taken"
    (($(compose exec -T postgres pg_dump -U app -Fc app | wc -c) > 10000)) || fail "pg_dump wrote nothing"
    note="certificate without a restart, password, pg_dump"
}
kill_each() {
    local service id first from times=
    load_start --writers 4 --readers 4
    for service in auth upload download gateway postgres; do
        id=$(containers "$service" | head -n1)
        first=$(started_at "$id")
        from=$(now)
        kill_hard "$id"
        wait_until 30 "$service starts again" is_new_start "$id" "$first"
        wait_until 30 "the gateway is ready after $service was killed" is_ready
        times+="$service $(since "$from") s, "
        load_writes 30
        wait_until 30 "$service is healthy again" is_healthy "$id"
    done
    load_end
    note="back in: ${times%, }; $note"
}
restart_each() {
    local service from times=
    load_start --writers 4 --readers 4
    for service in auth upload download gateway postgres; do
        from=$(now)
        compose restart "$service" >/dev/null
        wait_until 30 "the gateway is ready after $service was restarted" is_ready
        times+="$service $(since "$from") s, "
        load_writes 30
        wait_until 30 "$service is healthy again" all_healthy "$service"
    done
    load_end
    note="${times%, }; $note"
}
# PostgreSQL goes and comes back: everybody says so within 3 s, and nobody's process ends.
postgres_stops() {
    local service from down back starts
    starts=$(for service in auth upload download gateway; do started_at "$(containers "$service")"; done)
    load_start --writers 2 --readers 2
    compose stop postgres >/dev/null
    from=$(now)
    wait_until 3 "the gateway says 503" is_not_ready
    down=$(since "$from")
    for service in auth upload download; do
        wait_until 3 "$service says 503" service_not_ready "$(containers "$service")" "$service"
    done
    compose start postgres >/dev/null
    wait_until 60 "PostgreSQL is healthy" is_healthy "$(compose ps -aq postgres)"
    from=$(now)
    # The gateway is ready only when each service is.
    wait_until 3 "the gateway is ready" is_ready
    back=$(since "$from")
    for service in auth upload download; do
        service_ready "$(containers "$service")" "$service" || fail "the gateway is ready without $service"
    done
    at_most "$down" 3 && at_most "$back" 3 || fail "later than 3 s: 503 after $down s, ready after $back s"
    load_writes 10
    load_end
    [[ $starts == "$(for service in auth upload download gateway; do started_at "$(containers "$service")"; done)" ]] ||
        fail "a service ended because PostgreSQL was away"
    note="503 after $down s, ready after $back s; $note"
}
# One service loses its way to PostgreSQL without a word from TCP.
cut_off() {
    local id from down network=${COMPOSE_PROJECT_NAME}_database
    id=$(containers upload)
    load_start --writers 2 --readers 2
    docker network disconnect "$network" "$id"
    from=$(now)
    wait_until 10 "the gateway says 503" is_not_ready
    down=$(since "$from")
    [[ $(gateway_ready) == *upload* ]] || fail "the gateway does not name upload: $(gateway_ready)"
    service_ready "$(containers download)" download || fail "download is not ready though it has its database"
    docker network connect "$network" "$id"
    from=$(now)
    wait_until 15 "the gateway is ready" is_ready
    note="503 after $down s, ready after $(since "$from") s"
    local seen=$note
    load_writes 15
    load_end
    note="$seen; $note"
}

digest() {
    psql_owner -c "SELECT count(*), md5(string_agg(u::text, '' ORDER BY u.id)) FROM business.users u"
}
down_and_up() {
    local kept
    kept=$(digest)
    compose down >/dev/null
    compose up --wait >/dev/null
    [[ $(digest) == "$kept" ]] || fail "rows differ after down and up: $kept, now $(digest)"
    load_verify
    note="the same rows; $note"
}
with_pgbouncer() {
    local seen
    files+=(-f "$work/Deploy/compose.pgbouncer.yaml")
    compose up --wait >/dev/null
    is_ready || fail "the gateway is not ready: $(gateway_ready)"
    run_demo
    # Maintenance goes to PostgreSQL itself: one connection, with long transactions.
    seen=$(psql_admin -c "SELECT DISTINCT host(client_addr) FROM pg_stat_activity
        WHERE usename IN ('oversync_upload', 'oversync_download', 'oversync_auth')")
    [[ $seen == "$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
        "$(containers pgbouncer)")" ]] || fail "the services' connections come from $seen, not from pgbouncer alone"
}
own_postgres() {
    compose --profile '*' down -v --remove-orphans >/dev/null
    cp Deploy/test/compose.company.yaml "$work/Deploy/"
    cp Deploy/config/oversync.example.yaml "$work/Deploy/config/oversync.yaml"
    # Its authority is not ours.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=company-database \
        -addext subjectAltName=DNS:company-database -keyout "$work/Deploy/secrets/postgres.key" \
        -out "$work/Deploy/secrets/postgres.pem" 2>/dev/null
    chmod 0644 "$work/Deploy/secrets/"postgres.*
    export DATABASE_HOST=company-database DATABASE_CA="$work/Deploy/secrets/postgres.pem"
    files=(-f "$work/Deploy/compose.yaml" -f "$work/Deploy/compose.own-postgres.yaml" -f "$work/Deploy/compose.company.yaml")
    compose up --wait company-database >/dev/null
    compose up --wait >/dev/null
    ! compose ps -a --services | grep -qx postgres || fail "the bundled PostgreSQL runs"
    psql_owner() { compose exec -T company-database psql -qAtX -v ON_ERROR_STOP=1 -U app -d app "$@"; }
    register_tables
    run_demo
}
both_overrides() {
    files+=(-f "$work/Deploy/compose.pgbouncer.yaml")
    compose up --wait >/dev/null
    is_ready || fail "the gateway is not ready: $(gateway_ready)"
    run_demo
}

rm -rf "$work"
mkdir -p "$work/acknowledged"
chmod 0777 "$work/acknowledged"
trap end EXIT
step "images ($binaries)" images
step "nothing in the images that they do not need" no_more_than_needed
step "setup.sh" setup
step "up --wait --scale download=3" up
step "own tables and two devices, by the README" as_the_readme_says
step "tables registered, services keep running" register_tables
step "demo through HTTPS" run_demo
step "seen from inside" from_inside
step "secrets in inspect, environment, logs" no_secret_leaks
step "download 1 to 3 to 1 under load" scale_under_load
step "roll.sh under load" roll_under_load
step "roll.sh to what cannot start" roll_fails
step "certificates, password, backups" operators_days
step "backups and a restore, by Docs/operations" backups
step "watched by Prometheus" observed
step "kill -9 of each under load" kill_each
step "restart of each under load" restart_each
step "PostgreSQL stopped and started" postgres_stops
step "upload cut off from PostgreSQL" cut_off
step "acknowledged changes" load_verify
step "secrets after all that" no_secret_leaks
step "down and up" down_and_up
step "demo with pgbouncer" with_pgbouncer
step "demo on one's own PostgreSQL" own_postgres
step "the same with pgbouncer" both_overrides
