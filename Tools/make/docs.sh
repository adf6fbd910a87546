#!/usr/bin/env bash
# Builds the SDK's documentation with docc. Any warning fails it: a link that leads nowhere, a parameter without words.
#
# usage: docs.sh [output folder]; by default .oversync/docs
set -euo pipefail
cd "$(dirname "$0")/../.."
output=${1:-.oversync/docs}
graphs=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$graphs" "$log"' EXIT

swift build --target OverSQLite
target=$(swift -print-target-info | sed -n 's/.*"unversionedTriple": "\([^"]*\)".*/\1/p' | head -1)
swift symbolgraph-extract -module-name OverSQLite -I "$(swift build --show-bin-path)/Modules" \
    -Xcc -fmodule-map-file=.build/checkouts/GRDB.swift/Sources/GRDBSQLite/module.modulemap \
    -target "$target" -minimum-access-level public -skip-inherited-docs -skip-synthesized-members \
    -output-dir "$graphs"
rm -f "$graphs"/OverSQLite@*.symbols.json
mkdir -p "$output"
docc convert Client/OverSQLite/OverSQLite.docc --additional-symbol-graph-dir "$graphs" \
    --fallback-display-name OverSQLite --fallback-bundle-identifier oversync.OverSQLite \
    --output-dir "$output" 2>&1 | tee "$log"
if grep -qE '^(warning|error):' "$log"; then exit 1; fi
echo "The documentation is in $output; any static web server shows it."
