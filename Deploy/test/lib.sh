# What compose-test.sh is made of: steps with their times, the stack, its gateway, and devices that load it.
# shellcheck shell=bash

# Longest time of one command of Docker's: a run that hangs must fail and say where.
command_seconds=${COMMAND_SECONDS:-180}
started=$SECONDS
rows=()

say() { echo "[compose-test $((SECONDS - started)) s] $*"; }
fail() { echo "compose-test: $*" >&2; exit 1; }

# step NAME COMMAND...: runs it, and puts a row with its time and the text in $note into the table.
step() {
    local name=$1 from
    shift
    current=$name note=
    say "$name"
    from=$(now)
    "$@"
    rows+=("$(printf '| %-46s | %7s | %s' "$name" "$(since "$from")" "$note")")
}
now() { date +%s.%N; }
# Seconds since a time, with one digit.
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'; }
at_most() { awk -v value="$1" -v limit="$2" 'BEGIN { exit !(value <= limit) }'; }
table() {
    printf '\n| %-46s | seconds | seen\n|%s|---------|-----\n' step ------------------------------------------------
    printf '%s\n' "${rows[@]}"
}

docker() { timeout "$command_seconds" "${DOCKER:-docker}" "$@"; }
# Compose with the files of the moment. Its progress goes to a log, which is shown when something fails.
compose() {
    timeout "$command_seconds" docker compose --project-directory "$work/Deploy" "${files[@]}" "$@" \
        2>>"$work/compose.log"
}
# The containers of a service, one a line.
containers() { compose ps -q "$1"; }
in_engine() { ${IN_ENGINE:-} "$@"; }
psql_owner() { compose exec -T postgres psql -qAtX -v ON_ERROR_STOP=1 -U app -d app "$@"; }

psql_admin() { compose exec -T postgres psql -qAtX -v ON_ERROR_STOP=1 -U postgres -d app "$@"; }

# wait_until SECONDS WHAT COMMAND...: polls until the command succeeds.
wait_until() {
    local seconds=$1 what=$2 end=$((SECONDS + $1 + 1))
    shift 2
    until "$@"; do
        ((SECONDS < end)) || fail "$current: not within $seconds s: $what"
        sleep 0.1
    done
}

# What the gateway says of itself: status, then body.
gateway_ready() {
    in_engine curl -sS --max-time 3 --cacert "$work/Deploy/secrets/ca.pem" -w '\n%{http_code}' \
        "https://127.0.0.1:$GATEWAY_PORT/ready" 2>&1 | tac | tr '\n' ' '
}
is_ready() { [[ $(gateway_ready) == 200* ]]; }
is_not_ready() { [[ $(gateway_ready) == 503* ]]; }
is_healthy() { [[ $(docker inspect -f '{{.State.Health.Status}}' "$1") == healthy ]]; }
all_healthy() {
    local id
    for id in $(compose ps -q "$@"); do is_healthy "$id" || return 1; done
}
# Whether a service's own admin listener says that it is ready.
service_ready() { docker exec "$1" "oversync-$2" --health >/dev/null 2>&1; }
service_not_ready() { ! service_ready "$@"; }

# Sends SIGKILL to a container's first process. Not `docker kill`: Docker does not start again what it killed itself.
kill_hard() {
    local pid
    pid=$(docker inspect -f '{{.State.Pid}}' "$1")
    if [[ -r /proc/$pid/exe ]]; then
        kill -9 "$pid"
    else
        # The engine is on another machine.
        docker kill -s KILL "$1" >/dev/null
        docker start "$1" >/dev/null
    fi
}
started_at() { docker inspect -f '{{.State.StartedAt}} {{.State.Running}}' "$1"; }
is_new_start() { [[ $(started_at "$1") != "$2" && $(started_at "$1") == *true ]]; }

# The devices' load: writers note each acknowledged change in a file before they send the next.
load_start() {
    compose run -d --name "$COMPOSE_PROJECT_NAME-load" -v "$work/acknowledged:/acknowledged" demo load \
        "${access[@]}" --acknowledged /acknowledged/changes --seconds 600 "$@" >/dev/null
    before=$(acknowledged)
    wait_until 30 "the load writes" load_goes_on
}
acknowledged() { if [[ -e $work/acknowledged/changes ]]; then wc -l <"$work/acknowledged/changes"; else echo 0; fi; }
load_goes_on() {
    [[ $(docker inspect -f '{{.State.Running}}' "$COMPOSE_PROJECT_NAME-load") == true ]] || load_failed
    (($(acknowledged) > before))
}
load_failed() {
    docker logs "$COMPOSE_PROJECT_NAME-load" >&2
    fail "$current: the load ended"
}
# Waits until the load has written after this moment.
load_writes() {
    before=$(acknowledged)
    wait_until "$1" "the load writes again" load_goes_on
}
# Ends the load; its report goes to $report. It fails after an answer that a client may not retry.
load_end() {
    local name=$COMPOSE_PROJECT_NAME-load status
    docker kill -s TERM "$name" >/dev/null
    status=$(docker wait "$name")
    report=$(docker logs "$name" 2>&1)
    docker rm "$name" >/dev/null
    echo "$report" >>"$work/load.log"
    [[ $status == 0 ]] || fail "$current: the load ended with $status: $report"
    note="$(field acknowledged) changes, longest pause $(field longest_pause_seconds | cut -c1-4) s"
}
# A number of the load's report.
field() { sed -nE "s/^ *\"$1\" : ([0-9.]+),?$/\1/p" <<<"$report" | head -n1; }
# No request of the load failed, not even one that was sent again.
nothing_failed() {
    local answers
    answers=$(tr -d ' \n' <<<"$report" | sed -nE 's/.*"answers":\{([^}]*)\}.*/\1/p')
    [[ $answers =~ ^\"200\":[0-9]+$ ]] || fail "$current: answers other than 200: $answers"
    [[ $(tr -d ' \n' <<<"$report") == *'"broken_connections":{}'* ]] ||
        fail "$current: connections broke: $report"
}
load_verify() {
    compose run --rm -T -v "$work/acknowledged:/acknowledged:ro" demo load "${access[@]}" \
        --verify /acknowledged/changes >"$work/verify.json" || {
        cat "$work/verify.json" >&2
        fail "$current: acknowledged changes are lost or doubled"
    }
    report=$(cat "$work/verify.json")
    note="$(field acknowledged) acknowledged, $(field lost) lost, $(field doubled) doubled"
}

run_demo() {
    compose run --rm -T demo >"$work/demo.log" 2>&1 || {
        cat "$work/demo.log" >&2
        fail "$current: the demo failed"
    }
    grep -q '^All copies are equal' "$work/demo.log" || fail "$current: the copies differ"
    note="$(grep -c 'equal$' "$work/demo.log") tables, equal digests"
}
# Tables as a team has them: SQL, then oversync.yaml, then the migrate job.
register_tables() {
    compose run --rm -T demo demo --print-schema >"$work/tables.sql"
    psql_owner <"$work/tables.sql"
    compose run --rm -T demo demo --print-config >"$work/Deploy/config/oversync.yaml"
    compose run --rm -T migrate >"$work/migrate.log" || { cat "$work/migrate.log" >&2; fail "migrate failed"; }
    token=$(compose run --rm -T tool token --user check --device check)
    # Services look for changes every five seconds.
    wait_until 10 "the gateway serves the tables" serves_tables
    note=$(tail -n1 "$work/migrate.log")
}
serves_tables() {
    in_engine curl -sS --max-time 3 --cacert "$work/Deploy/secrets/ca.pem" -H "Authorization: Bearer $token" \
        "https://127.0.0.1:$GATEWAY_PORT/sync/capabilities" | grep -q '"currencies"'
}
