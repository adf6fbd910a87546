#!/usr/bin/env bash
# Backs a PostgreSQL cluster up, so that it can be restored to any moment: base backups, and the WAL as it is written.
#
#   backup.sh run       receives WAL without pause, takes a base backup every BACKUP_EVERY_HOURS, removes old ones
#   backup.sh receive   receives WAL without pause
#   backup.sh base      takes one base backup
#   backup.sh prune     removes what is older than BACKUP_KEEP_DAYS
#   backup.sh status    prints what there is as JSON; status 1 if the newest base backup or WAL is too old
#   backup.sh metrics   prints the same for Prometheus. `run` keeps it in BACKUP_DIR/metrics/oversync_backup.prom, for the
#                       text files of the node exporter
#
# It connects as libpq's variables say (PGHOST, PGPORT, PGUSER, PGPASSWORD or PGPASSFILE, PGSSLMODE, PGSSLROOTCERT), as a
# role with LOGIN and REPLICATION, and needs PostgreSQL's client programs of the server's major version or a newer one.
#
# | variable               | default      | meaning                                                       |
# |------------------------|--------------|---------------------------------------------------------------|
# | BACKUP_DIR             | (must be set)| where backups go: on another disk than the database's          |
# | BACKUP_PASSWORD_FILE   |              | a file with the role's password                                |
# | BACKUP_EVERY_HOURS     | 24           | hours from one base backup to the next                         |
# | BACKUP_KEEP_DAYS       | 14           | days for which a moment can be restored                        |
# | BACKUP_KEEP_AT_LEAST   | 2            | base backups that stay, however old they are                   |
# | BACKUP_SLOT            | oversync_backup | name of the replication slot that keeps WAL until it is here |
# | BACKUP_MAX_AGE_HOURS   | 30           | `status` fails if the newest base backup is older              |
# | BACKUP_MAX_WAL_MINUTES | 15           | `status` fails if WAL was not received for longer               |
#
# Files: BACKUP_DIR/<system>-<timeline>-<part>/base/<UTC time>/ and …/wal/. A restored or promoted cluster has another
# timeline, and so directories of its own: the WAL of two histories never meets. A new part begins when the server has
# dropped WAL before it was received.
set -euo pipefail
umask 077
# Debian keeps programs of the server's version here, and off the PATH.
for programs in /usr/lib/postgresql/*/bin; do PATH=$PATH:$programs; done

fail() { echo "backup.sh: $*" >&2; exit 1; }
say() { echo "$(date -u +%FT%TZ) backup: $*" >&2; }
number() { [[ ${!1} =~ ^[0-9]{1,6}$ ]] || fail "$1 must be a whole number, not \"${!1}\""; }

every=${BACKUP_EVERY_HOURS:=24} keep_days=${BACKUP_KEEP_DAYS:=14} keep_least=${BACKUP_KEEP_AT_LEAST:=2}
max_age=${BACKUP_MAX_AGE_HOURS:=30} max_wal=${BACKUP_MAX_WAL_MINUTES:=15} slot=${BACKUP_SLOT:=oversync_backup}
for name in BACKUP_EVERY_HOURS BACKUP_KEEP_DAYS BACKUP_KEEP_AT_LEAST BACKUP_MAX_AGE_HOURS BACKUP_MAX_WAL_MINUTES; do
    number "$name"
done
[[ $slot =~ ^[a-z0-9_]{1,63}$ ]] || fail "BACKUP_SLOT may have small letters, digits and underscores, at most 63"
((every > 0)) || fail "BACKUP_EVERY_HOURS must be at least 1"
((keep_least > 0)) || fail "BACKUP_KEEP_AT_LEAST must be at least 1"
root=${BACKUP_DIR:?backup.sh: set BACKUP_DIR to the directory for backups}
if [[ -n ${BACKUP_PASSWORD_FILE:-} ]]; then
    PGPASSWORD=$(<"$BACKUP_PASSWORD_FILE") || fail "cannot read BACKUP_PASSWORD_FILE"
    export PGPASSWORD
fi
# Seconds until a connection that failed is tried again.
pause=2
# Seconds between two looks at whether a base backup is due.
look=30
# Seconds between two writings of the metrics.
tell=15
# Seconds that a base backup waits for the first WAL.
receive_seconds=60
# Seconds between two looks at whether the server's history is another one.
watch=5

# The directory of the server's present history. Made if it is new.
line() {
    local identity system timeline newest
    identity=$(psql "dbname=postgres replication=true" -qAtX -F ' ' -c IDENTIFY_SYSTEM) || return 1
    read -r system timeline _ <<<"$identity"
    [[ $system =~ ^[0-9]+$ && $timeline =~ ^[0-9]+$ ]] || return 1
    newest=$(find "$root" -mindepth 1 -maxdepth 1 -name "$system-$timeline-*" | sort -V | tail -n 1)
    : "${newest:=$root/$system-$timeline-1}"
    mkdir -p "$newest/base" "$newest/wal"
    echo "$newest"
}

# Receives WAL into a directory until the connection ends.
receive_once() {
    local into=$1 log=$1/receive.log
    pg_receivewal -D "$into/wal" --slot="$slot" --create-slot --if-not-exists || return 0
    # In the background: a shell hears of SIGTERM only when no command runs in the foreground.
    pg_receivewal -D "$into/wal" --slot="$slot" --synchronous --no-loop 2>"$log" &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        touch "$into/alive"
        sleep "$watch" &
        wait -n "$child" $! || true
        # A standby that is promoted goes on in another history, on the same connection.
        [[ $(line || echo "$into") == "$into" ]] || kill "$child" 2>/dev/null || true
    done
    wait "$child" || true
    cat "$log" >&2
    # The slot keeps WAL for us, but no more than the server's max_slot_wal_keep_size.
    if grep -qE 'has already been removed|invalidated|can no longer' "$log" 2>/dev/null; then
        say "the server has dropped WAL that was not received: a new part begins, with a base backup"
        pg_receivewal --slot="$slot" --drop-slot || true
        mkdir -p "${into%-*}-$((${into##*-} + 1))/"{base,wal}
    fi
}
receive() {
    local into child=
    trap 'kill $child 2>/dev/null; exit 0' TERM INT
    while true; do
        if into=$(line); then
            say "receiving WAL into $into/wal"
            receive_once "$into"
        fi
        say "the connection ended; trying again in $pause s"
        sleep "$pause"
    done
}

base() {
    local into name end=$((SECONDS + receive_seconds))
    into=$(line) || fail "cannot connect to the server"
    # The WAL after a base backup follows it without a gap only if it is received already.
    until [[ -n $(find "$into/wal" -type f ! -name '*.history' -print -quit) ]]; do
        ((SECONDS < end)) || fail "no WAL is received into $into/wal: start \"backup.sh receive\" (or run) first"
        sleep 0.2
    done
    # One at a time: the name is the second at which it began.
    exec 8>"$root/lock"
    flock -n 8 || fail "another base backup is running"
    name=$(date -u +%Y%m%dT%H%M%SZ)
    while [[ -e $into/base/$name ]]; do
        sleep 0.2
        name=$(date -u +%Y%m%dT%H%M%SZ)
    done
    # What an attempt that was interrupted has left.
    rm -rf "$into"/base/*.partial
    pg_basebackup -D "$into/base/$name.partial" --format=tar --gzip --checkpoint=fast --wal-method=stream \
        --label="oversync $name" --no-password
    if compgen -G "$into/base/$name.partial/[0-9]*.tar.gz" >/dev/null; then
        fail "the cluster has tablespaces, which restore.sh does not restore: use another tool"
    fi
    # When it was complete. Times of files may be lost when backups are copied.
    date -u +%s >"$into/base/$name.partial/ended"
    # It gets its name when everything is on the disk.
    sync -f "$into/base/$name.partial"
    mv "$into/base/$name.partial" "$into/base/$name"
    sync -f "$into/base"
    exec 8>&-
    say "base backup $into/base/$name"
}

# The first WAL file that a base backup needs. The label comes first in the archive: the rest is not read.
first_wal() {
    tar --occurrence=1 -xzOf "$1/base.tar.gz" backup_label | sed -nE 's/^START WAL LOCATION: .*\(file ([0-9A-F]{24})\)$/\1/p'
}
# All base backups, the oldest first: name and directory.
bases() { find "$root" -mindepth 3 -maxdepth 3 -path '*/base/*' -type d ! -name '*.partial' -printf '%f %p\n' | sort; }

prune() {
    local limit needed left name directory oldest present
    limit=$(date -u -d "$keep_days days ago" +%Y%m%dT%H%M%SZ)
    # A base backup serves the moments until the next one: the last one before the limit is still needed.
    needed=$(bases | awk -v limit="$limit" '$1 <= limit { name = $1 } END { print name }')
    left=$(bases | grep -c . || true)
    while read -r name directory; do
        if [[ $name == "$needed" || $name > $needed ]] || ((left <= keep_least)); then break; fi
        rm -rf "$directory"
        left=$((left - 1))
        say "removed $directory"
    done < <(bases)
    present=$(line) || return 1
    for directory in "$root"/*-*-*/; do
        directory=${directory%/}
        oldest=$(find "$directory/base" -mindepth 1 -maxdepth 1 -type d ! -name '*.partial' | sort | head -n 1)
        if [[ -n $oldest ]]; then
            pg_archivecleanup "$directory/wal" "$(first_wal "$oldest")"
        elif [[ $directory != "$present" && $left -gt 0 ]]; then
            # WAL that no base backup is left for. Histories stay: they are small, and number the timelines.
            find "$directory/wal" -type f ! -name '*.history' -delete
        fi
    done
}

status() {
    local now name='' directory age=-1 wal wal_age=-1 failed=0
    now=$(date +%s)
    read -r name directory < <(bases | tail -n 1) || true
    if [[ -n $name ]]; then
        age=$((now - $(date -u -d "${name:0:4}-${name:4:2}-${name:6:2} ${name:9:2}:${name:11:2}:${name:13:2}" +%s)))
    fi
    # Of a server that nobody writes to no WAL comes: what counts is that it is asked for.
    wal=$(wal_time)
    [[ -z $wal ]] || wal_age=$((now - wal))
    wal=$(find "$root" -mindepth 3 -maxdepth 3 -path '*/wal/*' -type f -printf '%T@ %f\n' | sort -n | tail -n 1)
    wal=${wal#* }
    ((age >= 0 && age <= max_age * 3600)) || failed=1
    ((wal_age >= 0 && wal_age <= max_wal * 60)) || failed=1
    printf '{"ok":%s,"base":"%s","base_age_seconds":%d,"wal":"%s","wal_age_seconds":%d,"bases":%d,"bytes":%d}\n' \
        "$([[ $failed -eq 0 ]] && echo true || echo false)" "$name" "$age" "$wal" "$wal_age" \
        "$(bases | grep -c . || true)" "$(du -sb "$root" | cut -f1)"
    return "$failed"
}

# When WAL was last asked for with success; nothing if never.
wal_time() {
    local newest
    newest=$(find "$root" -mindepth 2 -maxdepth 2 -name alive -printf '%T@\n' | sort -n | tail -n 1)
    echo "${newest%%.*}"
}
metrics() {
    local name='' directory='' ended='' wal
    read -r name directory < <(bases | tail -n 1) || true
    [[ -z $directory ]] || ended=$(cat "$directory/ended" 2>/dev/null) || true
    wal=$(wal_time)
    gauge() { [[ -z $3 ]] || printf '# HELP oversync_backup_%s %s\n# TYPE oversync_backup_%s gauge\noversync_backup_%s %s\n' \
        "$1" "$2" "$1" "$1" "$3"; }
    gauge base_timestamp_seconds "When the newest base backup was complete, in seconds since 1970" "$ended"
    gauge wal_timestamp_seconds "When WAL was last asked for with success, in seconds since 1970" "$wal"
    gauge bases "Base backups that are kept" "$(bases | grep -c . || true)"
    gauge bytes "Bytes of all backups" "$(du -sb "$root" | cut -f1)"
}
# Replaced in one step: who reads it sees the old one or the new one.
write_metrics() {
    mkdir -p "$root/metrics"
    metrics >"$root/metrics/.new" && mv "$root/metrics/.new" "$root/metrics/oversync_backup.prom"
}

# Whether a base backup is due: at the start of a history, and every so many hours.
due() {
    local into newest
    into=$(line) || return 1
    newest=$(find "$into/base" -mindepth 1 -maxdepth 1 -type d ! -name '*.partial' -mmin "-$((every * 60))" | head -n 1)
    [[ -z $newest ]]
}
# Keeps the metrics fresh, also while a base backup takes hours.
report() {
    local pausing=
    trap 'kill $pausing 2>/dev/null; exit 0' TERM INT
    while true; do
        write_metrics || say "the metrics were not written"
        sleep "$tell" &
        pausing=$!
        wait "$pausing" || true
    done
}
run() {
    local receiver reporter
    receive &
    receiver=$!
    report &
    reporter=$!
    # A container's first process hears of SIGTERM only if it asks for it.
    trap 'kill "$receiver" "$reporter" 2>/dev/null || true; wait "$receiver" "$reporter" || true; exit 0' TERM INT
    while true; do
        if due; then
            # In processes of their own: where one fails it ends, and this one goes on.
            bash "$0" base || say "no base backup; trying again in $look s"
            bash "$0" prune || say "old backups were not removed"
        fi
        if ! kill -0 "$receiver" 2>/dev/null; then
            kill "$reporter" 2>/dev/null || true
            fail "the receiver of WAL ended"
        fi
        sleep "$look" &
        wait $! || true
    done
}

mkdir -p "$root"
case ${1:-} in
run | receive | base | prune | status | metrics) "$1" ;;
*)
    sed -n '2,/^set/p' "$0" | sed '$d'
    exit 64
    ;;
esac
