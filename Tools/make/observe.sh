#!/usr/bin/env bash
# Runs a private stack (`oversync-dev dev`) with Debian's Prometheus, its alerts, and the node exporter on the loopback address,
# and prints where they are. Ctrl-C ends all of them. usage: observe.sh FOLDER_OF_PROGRAMS
#
# OBSERVE_PORT (9190) is the first of the ports: the services' admin listeners have the first ones (gateway, auth, upload,
# download), Prometheus 9 more, the node exporter 10. Debian's Alertmanager needs files in /usr, and is left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
first=${OBSERVE_PORT:-9190}
downloads=2
prometheus=$((first + 9)) node=$((first + 10))
folder=.oversync/observability
# Seconds that each of them has to begin to answer. The stack makes its database first.
patience=120

Tools/make/prometheus.sh
bin=.build/prometheus/bin
mkdir -p "$folder/text"
# What Deploy/observability says, for the addresses of this stack.
targets() { printf '"127.0.0.1:%d",' "$@" | sed 's/,$//'; }
job() { printf '  - {job_name: %s, static_configs: [{targets: [%s]}]}\n' "$1" "$(targets "${@:2}")"; }
{
    sed -e '/^alerting:/,$d' -e "s#alerts.yml#$PWD/Deploy/observability/alerts.yml#" \
        -e 's/scrape_interval: .*/scrape_interval: 2s/' Deploy/observability/prometheus.yml
    echo "scrape_configs:"
    job gateway "$first"
    job auth $((first + 1))
    job upload $((first + 2))
    # shellcheck disable=SC2046
    job download $(seq $((first + 3)) $((first + 2 + downloads)))
    job node "$node"
} >"$folder/prometheus.yml"
"$bin/promtool" check config "$folder/prometheus.yml" >/dev/null

children=()
stop() {
    trap - EXIT INT TERM
    ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 130' INT TERM
start() {
    "$@" >>"$folder/log" 2>&1 </dev/null &
    children+=($!)
}
all_run() {
    local child
    for child in "${children[@]}"; do kill -0 "$child" 2>/dev/null || return 1; done
}
# usage: expect NAME ADDRESS
expect() {
    local end=$((SECONDS + patience))
    until curl -sf -o /dev/null "$2"; do
        all_run && ((SECONDS < end)) || {
            echo "$1 does not answer at $2; $folder/log says why" >&2
            exit 1
        }
        sleep 0.2
    done
}
: >"$folder/log"
start "$programs/oversync-dev" dev --admin-ports "$first" --downloads "$downloads"
start "$bin/prometheus" --log.level=warn --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
    --web.listen-address="127.0.0.1:$prometheus" --storage.tsdb.retention.time=7d
start "$bin/prometheus-node-exporter" --web.listen-address="127.0.0.1:$node" --log.level=error \
    --collector.disable-defaults --collector.filesystem --collector.cpu --collector.meminfo \
    --collector.textfile --collector.textfile.directory="$folder/text"
expect "the stack" "http://127.0.0.1:$first/live"
expect "the stack" "http://127.0.0.1:$first/ready"
expect Prometheus "http://127.0.0.1:$prometheus/-/ready"
expect "the node exporter" "http://127.0.0.1:$node/metrics"
cat <<TEXT
  Prometheus     http://127.0.0.1:$prometheus
  its alerts     http://127.0.0.1:$prometheus/alerts
  metrics        http://127.0.0.1:$first/metrics (gateway), $((first + 1)) (auth), $((first + 2)) (upload), $((first + 3)) … (download)
  dashboards     Deploy/observability/dashboards, for Grafana
TEXT
# What the stack says of itself: the gateway, the database, a token.
sed -n '/^Oversync is ready/,$p' "$folder/log" | sed -n '/^  /p'
# Until the first of them ends, or Ctrl-C.
wait -n
