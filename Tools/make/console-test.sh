#!/usr/bin/env bash
# Opens each page of the console (Docs/console.md) in Debian's chromium, against a private stack, and fails on errors in
# its log, on violations of the content security policy, and on pages that do not show what the stack has.
# usage: console-test.sh FOLDER_OF_PROGRAMS
#
# Screenshots go to .oversync/console; PICTURES=1 copies the two of Docs/console.md to Docs/images.
set -uo pipefail
cd "$(dirname "$0")/../.."
programs=$(realpath "$1")
folder=.oversync/console
source Tools/make/private-stack.sh
command -v chromium >/dev/null || Tools/make/packages.sh chromium fonts-dejavu-core || exit 1
mkdir -p "$folder"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_stack --console-port "$port"
token() { "$programs/oversync" token --directory "$scratch" --lifetime 3600 "$@"; }
ADMIN=$(token --user root --device console --role admin) || exit 1
PHONE=$(token --user ada --device phone) || exit 1
LAPTOP=$(token --user ada --device laptop) || exit 1
WATCH=$(token --user grace --device watch --lifetime 1) || exit 1
send() { # TOKEN PATH [CURL'S OPTIONS]
    curl --silent --show-error --output /dev/null --cacert "$authority" -H "Authorization: Bearer $1" "$gateway$2" "${@:3}"
}
key=550e8400-e29b-41d4-a716-44665544000
change() { # ID TABLE KEY BASE PAYLOAD
    echo "{\"source_change_id\":$1,\"schema\":\"business\",\"table\":\"$2\",\"op\":\"INSERT\",\"pk\":\"$3\",\"server_version\":$4,\"payload\":$5}"
}
report='sdk="OverSQLite 0.1.0", app="2.4", schema="business", pending=3, rejected=2, held=1, reason="materialize_error", error="busy", at='
# Rows, changes that a table refuses, a conflict, names that would be markup, a report, and an expired token.
send "$PHONE" /sync/upload --data-binary "{\"changes\":[$(change 1 users ${key}0 0 '{"name":"Ada"}'),$(
    change 2 users ${key}0 1 '{"name":"Ada Lovelace"}'),$(
    change 3 posts ${key}1 0 "{\"author_id\":\"${key}0\",\"title\":null}"),$(
    change 4 posts ${key}2 0 "{\"author_id\":\"${key}0\",\"title\":null,\"body\":\"<b onclick=x>\"}")]}" \
    -H "Oversync-Report: ${report}$(date +%s), cursor=0" || exit 1
send "$LAPTOP" /sync/upload --data-binary "{\"changes\":[$(change 1 users ${key}0 0 '{"name":"Countess"}'),$(
    change 2 currencies XTS 0 '{"name":"Test","digits":"2"}')]}" || exit 1
send "$(token --user '<img src=x onerror=alert(1)>' --device '"><script>alert(1)</script>')" /sync/schema-version \
    -H 'Oversync-Report: sdk="<script>alert(1)</script>", held=1' || exit 1
send "$WATCH" /sync/schema-version -H 'Oversync-Report: pending=0'
sleep 8
send "$WATCH" /sync/schema-version
sleep 4

# While the browser looks, its script sends more.
export ADMIN PHONE gateway authority
python3 Tools/make/console_pages.py "https://127.0.0.1:$port" "$folder" "${key}0"
status=$?
if ! kill -0 "$stack" 2>/dev/null; then
    echo "the stack has ended:" >&2
    tail -20 "$scratch/oversync.log" >&2
    exit 1
fi
if grep -E '"level":"(error|critical)"' "$scratch/oversync.log" >&2; then exit 1; fi
if ((status == 0)) && [[ -n ${PICTURES:-} ]]; then
    mkdir -p Docs/images
    cp "$folder/device.png" Docs/images/console-device.png
    cp "$folder/rejected.png" Docs/images/console-rejected.png
fi
exit $status
