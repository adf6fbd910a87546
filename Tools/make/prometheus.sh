#!/usr/bin/env bash
# Unpacks Debian's Prometheus, promtool, amtool and node exporter into .build/prometheus, for `make observe` and the tests
# of metrics and alerts. Nothing is installed: no daemon starts, and root is not needed.
# Fails with exit code 75 where no Debian archive can be reached: the tests then say so and are skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
packages=(prometheus prometheus-alertmanager prometheus-node-exporter)
programs=(prometheus promtool amtool prometheus-node-exporter)
folder=.build/prometheus
unreachable() {
    echo "Debian's packages cannot be reached: no test runs a Prometheus" >&2
    exit 75
}
[[ -f $folder/installed ]] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || unreachable
rm -rf "$folder" "$folder.partial"
mkdir -p "$folder.partial/archives" || exit 1
# Downloads as an ordinary user: the present lists if they have the packages, otherwise lists of its own.
fetch() { (cd "$folder.partial/archives" && timeout 300 apt-get "$@" download -qq "${packages[@]}" >/dev/null 2>&1); }
if ! fetch; then
    mkdir -p "$folder.partial/lists/partial"
    own=(-o "Dir::State::Lists=$PWD/$folder.partial/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
    timeout 300 apt-get "${own[@]}" update -qq >/dev/null 2>&1
    fetch "${own[@]}" || unreachable
fi
for archive in "$folder.partial"/archives/*.deb; do
    dpkg-deb -x "$archive" "$folder.partial/root" || exit 1
done
mkdir "$folder.partial/bin"
for program in "${programs[@]}"; do
    mv "$folder.partial/root/usr/bin/$program" "$folder.partial/bin/" || exit 1
done
rm -rf "$folder.partial"/{archives,root,lists}
"$folder.partial/bin/promtool" --version >"$folder.partial/installed" 2>&1 || exit 1
mv "$folder.partial" "$folder"
