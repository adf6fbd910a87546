#!/usr/bin/env bash
# Restores what backup.sh has kept.
#
#   restore.sh list                                   the base backups, and until when their WAL goes
#   restore.sh into DIRECTORY [--time TIME | --lsn LSN] [--base NAME]
#   restore.sh replay DIRECTORY
#
# `into` makes a data directory out of a base backup, for the moment TIME (such as "2026-03-01 12:30:00+00"; UTC where it
# names no zone), the position LSN in the WAL, or, without either, the end of what there is. DIRECTORY must be empty or
# absent. `replay` starts a server on it that nobody can reach, which replays the WAL up to there, and stops it: start
# PostgreSQL on the directory afterwards, with your own configuration. No running server and no backup is changed. Run both
# as the user that PostgreSQL runs as.
#
# | variable   | meaning                             |
# |------------|-------------------------------------|
# | BACKUP_DIR | the directory that backup.sh writes |
set -euo pipefail
umask 077
# Debian keeps programs of the server's version here, and off the PATH.
for programs in /usr/lib/postgresql/*/bin; do PATH=$PATH:$programs; done
fail() { echo "restore.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/p' "$0" | sed '$d'; exit 64; }
root=${BACKUP_DIR:?restore.sh: set BACKUP_DIR to the directory of the backups}
[[ -d $root ]] || fail "there is no directory $root"
root=$(cd "$root" && pwd)
# A path goes into PostgreSQL's configuration and into a command line of its own.
[[ $root =~ ^[A-Za-z0-9_./-]+$ ]] || fail "BACKUP_DIR may have letters, digits and _ . / - only: $root"

bases() { find "$root" -mindepth 3 -maxdepth 3 -path '*/base/*' -type d ! -name '*.partial' -printf '%f %p\n' | sort; }
list() {
    local name directory line last
    while read -r name directory; do
        [[ -n $name ]] || continue
        line=$(dirname "$(dirname "$directory")")
        last=$(find "$line/wal" -type f ! -name '*.history' -printf '%T@ %f\n' | sort -n | tail -n 1)
        printf '%s  history %s  WAL until %s\n' "$name" "$(basename "$line")" \
            "$([[ -n $last ]] && date -u -d "@${last%% *}" +%FT%TZ || echo "the backup's end")"
    done < <(bases)
}

# The newest base backup that was complete at a target.
choose() {
    local kind=$1 target=$2 name directory chosen='' limit
    case $kind in
    time)
        limit=$(date -u -d "$target" +%s)
        while read -r name directory; do
            [[ -n $name ]] || continue
            if (($(stop_time "$directory") <= limit)); then chosen=$directory; fi
        done < <(bases)
        [[ -n $chosen ]] || fail "no base backup ended before $target; restore.sh list shows what there is"
        ;;
    lsn)
        while read -r name directory; do
            [[ -n $name ]] || continue
            if (($(position "$(stop_position "$directory")") <= $(position "$target"))); then chosen=$directory; fi
        done < <(bases)
        [[ -n $chosen ]] || fail "no base backup ended before $target; restore.sh list shows what there is"
        ;;
    end)
        chosen=$(bases | tail -n 1 | cut -d' ' -f2)
        [[ -n $chosen ]] || fail "there is no base backup in $root"
        ;;
    esac
    echo "$chosen"
}
# A position in the WAL as a number.
position() { [[ $1 =~ ^([0-9A-Fa-f]+)/([0-9A-Fa-f]+)$ ]] && echo $(((16#${BASH_REMATCH[1]} << 32) + 16#${BASH_REMATCH[2]})); }
# What the backup's manifest says of the WAL that it needs: until it is replayed, the copy is not consistent.
stop_position() { sed -nE 's/.*"End-LSN": "([0-9A-F\/]+)".*/\1/p' "$1/backup_manifest" | tail -n 1; }
# When the backup was complete, in seconds.
stop_time() { cat "$1/ended"; }

into() {
    local data=${1:-} kind=end target='' base='' line timeline histories
    [[ -n $data && $data != -* ]] || usage
    shift
    while (($# > 0)); do
        [[ $# -ge 2 ]] || usage
        case $1 in
        --time) kind=time target=$2 ;;
        --lsn) kind=lsn target=$2 ;;
        --base) base=$2 ;;
        *) usage ;;
        esac
        shift 2
    done
    [[ $kind != lsn || -n $(position "$target" || true) ]] || fail "not a position in the WAL: $target"
    # One moment for this script and for PostgreSQL, whatever the server's time zone is.
    if [[ $kind == time ]]; then
        target=$(date -u -d "$target" '+%F %T.%6N+00') || fail "--time: not a time"
    fi
    if [[ -n $base ]]; then
        base=$(bases | awk -v name="$base" '$1 == name { print $2 }' | tail -n 1)
        [[ -n $base ]] || fail "there is no such base backup; restore.sh list shows what there is"
    else
        base=$(choose "$kind" "$target")
    fi
    line=$(dirname "$(dirname "$base")")
    IFS=- read -r _ timeline _ <<<"$(basename "$line")"
    histories=$(find "$root" -mindepth 1 -maxdepth 1 -type d -printf ' %p/wal/%%f')
    mkdir -p "$data"
    [[ -z $(ls -A "$data") ]] || fail "$data is not empty"
    chmod 0700 "$data"
    if compgen -G "$base/[0-9]*.tar.gz" >/dev/null; then fail "$base has tablespaces; restore it by hand"; fi
    tar -xzf "$base/base.tar.gz" -C "$data"
    tar -xzf "$base/pg_wal.tar.gz" -C "$data/pg_wal"
    cp "$base/backup_manifest" "$data/"
    # A copy with a flaw must not be found out by the users.
    pg_verifybackup --no-parse-wal --quiet "$data" || fail "the base backup $base is damaged; take an older one with --base"
    # A cluster that was restored before carries its own targets in the backup.
    sed -i -E '/^(restore_command|recovery_target[a-z_]*) *=/d' "$data/postgresql.auto.conf"
    {
        echo
        echo "# Written by restore.sh."
        # The last file of the WAL is not full yet (.partial). Histories come from everywhere, so that the restored
        # cluster takes a timeline that no other has had.
        # A file that is there and cannot be copied is an error (above 125), and not the end of the WAL.
        echo "restore_command = 'for file in $line/wal/%f $line/wal/%f.partial$histories; do [ -e \"\$file\" ] || continue; cp \"\$file\" \"%p\" && exit 0; exit 200; done; exit 1'"
        echo "recovery_target_timeline = '$timeline'"
        echo "recovery_target_action = 'promote'"
        [[ $kind != time ]] || echo "recovery_target_time = '$target'"
        [[ $kind != lsn ]] || echo "recovery_target_lsn = '$target'"
    } >>"$data/postgresql.auto.conf"
    touch "$data/recovery.signal"
    echo "restored $base into $data; next: restore.sh replay $data"
}

replay() {
    local data=${1:-} socket
    [[ -n $data && -e $data/recovery.signal ]] || fail "no directory that restore.sh into has made: $data"
    socket=$(mktemp -d)
    # Its own port and socket. hot_standby=off: it need not be as large as the server that it was.
    pg_ctl -D "$data" -w -t 86400 -l "$socket/log" start -o "-c listen_addresses='' -c unix_socket_directories=$socket \
        -c hot_standby=off -c archive_mode=off -c ssl=off -c shared_preload_libraries=''" >/dev/null || {
        tail -n 20 "$socket/log" >&2
        fail "the WAL could not be replayed"
    }
    # pg_ctl does not wait for the end of the replay: the eighth line says "standby" until then.
    until [[ $(sed -n 8p "$data/postmaster.pid" 2>/dev/null) == ready* ]]; do
        pg_ctl -D "$data" status >/dev/null || {
            tail -n 20 "$socket/log" >&2
            fail "the WAL could not be replayed"
        }
        sleep 0.2
    done
    pg_ctl -D "$data" -w -m fast stop >/dev/null
    tail -n 5 "$socket/log"
    rm -rf "$socket"
    # Standbys that copy this cluster must not stop where this one did.
    sed -i -E '/^(restore_command|recovery_target[a-z_]*) *=/d; /^# Written by restore.sh/d' "$data/postgresql.auto.conf"
    echo "$data is complete: start PostgreSQL on it"
}

case ${1:-} in
list) list ;;
into | replay) "$@" ;;
*) usage ;;
esac
