#!/usr/bin/env bash
# Builds the SDK's documentation with docc. Any warning fails it, such as a link that leads nowhere, and so does a public
# symbol without a place among the topics of the library or of the engine.
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
maps=()
for map in Shared/*/module.modulemap .build/checkouts/GRDB.swift/Sources/GRDBSQLite/module.modulemap; do
    maps+=(-Xcc "-fmodule-map-file=$map")
done
swift symbolgraph-extract -module-name OverSQLite -I "$(swift build --show-bin-path)/Modules" \
    "${maps[@]}" -target "$target" -minimum-access-level public -skip-inherited-docs \
    -skip-synthesized-members -output-dir "$graphs"
rm -f "$graphs"/OverSQLite@*.symbols.json
mkdir -p "$output"
docc convert Client/OverSQLite/OverSQLite.docc --additional-symbol-graph-dir "$graphs" \
    --fallback-display-name OverSQLite --fallback-bundle-identifier oversync.OverSQLite \
    --output-dir "$output" 2>&1 | tee "$log"
if grep -qE '^(warning|error):' "$log"; then exit 1; fi
# The groups that docc makes for what no topic names.
groups='"title":"(Classes|Structures|Enumerations|Protocols|Initializers|Instance Methods|Instance Properties|Type Methods|Type Properties)"'
for page in oversqlite oversqlite/syncengine; do
    if grep -qE "$groups" "$output/data/documentation/$page.json"; then
        echo "docs.sh: symbols of $page have no place among its topics" >&2
        exit 1
    fi
done
echo "The documentation is in $output; any static web server shows it."
