#!/usr/bin/env bash
# Installs what the build and the tests need from the system, and the packages given, where they are missing.
set -euo pipefail

needed=(libpq-dev libssl-dev libsqlite3-dev libprotobuf-c-dev zlib1g-dev postgresql pgbouncer iso-codes ca-certificates curl pkg-config "$@")
missing=()
for package in "${needed[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}. Install their equivalents with your package manager." >&2
    exit 1
fi
run=()
if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || { echo "missing: ${missing[*]}. Run as root: apt-get install ${missing[*]}" >&2; exit 1; }
    run=(sudo)
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
