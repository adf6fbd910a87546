# The steps of compose-test.sh that do what pages of Docs/ tell operators: backups, a restore, and what watches the services.
# shellcheck shell=bash

# The first block of commands below a line of a page that begins with a text.
commands_below() {
    awk -v line="$2" 'index($0, line) == 1 { on = 1 } on && /^```/ { if (code) exit; code = 1; next } code' "$1" |
        grep . || fail "$1 has no commands below \"$2\""
}
# Runs the commands on standard input as an operator types them in the folder of compose.yaml.
as_typed() {
    local lines
    lines=$(cat)
    # shellcheck disable=SC2016
    (cd "$work/Deploy" && LINES_OF_PAGE=$lines timeout $((3 * command_seconds)) bash -euo pipefail -c '
        docker() { command "${DOCKER:-docker}" "$@" </dev/null; }
        eval "$LINES_OF_PAGE"') >>"$work/compose.log" 2>&1
}
# Lines of .env, until `unset_env`.
set_env() {
    cp "$work/Deploy/.env" "$work/env.before"
    printf '%s\n' "$@" >>"$work/Deploy/.env"
}
unset_env() { cat "$work/env.before" >"$work/Deploy/.env"; }

is_received() {
    (($(psql_admin -c "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal'
        AND flush_lsn >= '$1'") > 0))
}
# A base backup of the restored cluster, which is on another timeline.
is_backed_up_again() {
    # shellcheck disable=SC2016
    compose exec -T backup bash -c 'compgen -G "$BACKUP_DIR/*-2-*/base/[0-9]*Z"' >/dev/null
}
# The profile `backup`, a mistake, and a restore to the moment before it: backups.md and restore.md, as they stand there.
backups() {
    local kept moment position seen
    set_env COMPOSE_PROFILES=backup
    commands_below Docs/operations/backups.md '**With Docker Compose**' | as_typed || fail "the profile backup does not start"
    seen=$(compose exec -T backup bash /etc/oversync/backup.sh status) || fail "no backup: $seen"
    [[ $(compose exec -T backup bash /etc/oversync/backup.sh metrics) == *$'\noversync_backup_bases 1'* ]] ||
        fail "no metrics of backups"
    kept=$(digest)
    moment=$(psql_owner -c 'SELECT clock_timestamp()')
    psql_owner -c "UPDATE business.users SET name = 'a mistake'"
    [[ $(digest) != "$kept" ]] || fail "nothing to restore"
    position=$(psql_admin -c 'SELECT pg_current_wal_flush_lsn()')
    wait_until 30 "the WAL is received" is_received "$position"
    commands_below Docs/operations/restore.md '## With Docker Compose' | sed "s/2026-03-01 12:30:00+00/$moment/" | as_typed ||
        fail "the steps of restore.md fail"
    is_ready || fail "not ready on the restored cluster: $(gateway_ready)"
    [[ $(digest) == "$kept" ]] || fail "not the rows of $moment: $(digest), then $kept"
    wait_until 90 "the restored cluster is backed up by itself" is_backed_up_again
    compose run --rm -T --entrypoint bash restore -c 'rm -rf /var/lib/postgresql/data/broken'
    note="restored to before a mistake; $(sed -E 's/.*("base_age_seconds".*)\}/\1/' <<<"$seen")"
}

# A program that watches, with Debian's in place of its image: an engine without a registry cannot pull it.
watcher() {
    docker build -q ${BUILD_PROXY:+--build-arg "http_proxy=$BUILD_PROXY"} --build-arg "PACKAGE=$2" --build-arg "PROGRAM=$3" \
        -t "$IMAGE_PREFIX-$1:$IMAGE_TAG" -f Deploy/test/watcher.Dockerfile Deploy/test >/dev/null
}
# What Prometheus answers to a query, as JSON.
prometheus_says() { in_engine curl -sS --max-time 3 "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/$1"; }
scrapes_all() {
    local seen job
    seen=$(prometheus_says 'query?query=min%20by%20(job)%20(up)')
    for job in "$@"; do
        [[ $seen =~ \"job\":\"$job\"\},\"value\":\[[0-9.]+,\"1\"\] ]] || return 1
    done
}
knows_backups() { [[ $(prometheus_says 'query?query=oversync_backup_bases') == *'"__name__":"oversync_backup_bases"'* ]]; }
# The profile `observability` of Docs/metrics.md. Debian has no Grafana: of that its files alone are looked at.
observed() {
    local source node=(node)
    # The node exporter sees the mounts of the host, which a mount that is private does not pass on.
    [[ $(findmnt -no PROPAGATION / 2>/dev/null) != private ]] || node=()
    export PROMETHEUS_PORT=19090 ALERTMANAGER_PORT=19093
    watcher prometheus prometheus prometheus
    watcher alertmanager prometheus-alertmanager prometheus-alertmanager
    watcher node prometheus-node-exporter prometheus-node-exporter
    # As the README has it, on top of the profile that runs.
    unset_env
    set_env COMPOSE_PROFILES=backup,observability OVERSYNC_ADMIN_HOST=0.0.0.0 \
        "PROMETHEUS_IMAGE=$IMAGE_PREFIX-prometheus:$IMAGE_TAG" "ALERTMANAGER_IMAGE=$IMAGE_PREFIX-alertmanager:$IMAGE_TAG" \
        "NODE_EXPORTER_IMAGE=$IMAGE_PREFIX-node:$IMAGE_TAG"
    compose config -q || fail "the profile observability is not valid"
    # Compose makes a folder of what is not there, and a program finds no file in it.
    while read -r source; do
        [[ -e $source ]] || fail "compose.yaml mounts $source, which is not there"
    done < <(compose config | sed -nE 's/^ +(source|file): (\/.*)$/\2/p' | sort -u)
    compose up --wait auth upload download gateway backup prometheus alertmanager "${node[@]}" >/dev/null
    wait_until 60 "Prometheus scrapes every service" scrapes_all auth upload download gateway "${node[@]}"
    ((${#node[@]} == 0)) || wait_until 30 "Prometheus hears of the backups" knows_backups
    [[ $(prometheus_says rules) == *OversyncProcessDown* ]] || fail "Prometheus has no alerts"
    wait_until 30 "Prometheus has its Alertmanager" alerts_somebody
    note="$(prometheus_says 'query?query=count(up)' | sed -E 's/.*,"([0-9]+)"\].*/\1/') targets, alerts loaded$( ((${#node[@]} > 0)) || echo "; no node exporter: / is private")"
    compose rm -s -f prometheus alertmanager node backup >/dev/null
    unset_env
    compose up --wait >/dev/null
}
alerts_somebody() { [[ $(prometheus_says alertmanagers) == *'"activeAlertmanagers":[{'* ]]; }
