#!/usr/bin/env bash
# Builds the documentation of the products for apps with docc, and merges it into one archive. Any
# warning fails it, such as a broken link. So does a public symbol without a place among the topics
# of its page.
#
# usage: docs.sh [output folder]; by default .oversync/docs
set -euo pipefail
cd "$(dirname "$0")/../.."
output=${1:-.oversync/docs}
work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT

target=$(swift -print-target-info | sed -n 's/.*"unversionedTriple": "\([^"]*\)".*/\1/p' | head -1)
maps=()
for map in Shared/*/module.modulemap .build/checkouts/GRDB.swift/Sources/GRDBSQLite/module.modulemap; do
    maps+=(-Xcc "-fmodule-map-file=$map")
done
# The groups that docc makes for what no topic names.
groups='"title":"(Classes|Structures|Enumerations|Protocols|Functions|Initializers|Instance Methods|Instance Properties|Type Methods|Type Properties)"'

# convert MODULE PAGE…: the module's archive; each page's symbols must all have their place among its topics.
convert() {
    local module=$1 archive=$work/$1.doccarchive graphs=$work/$1.graphs
    shift
    swift build --traits Server --target "$module"
    mkdir "$graphs"
    swift symbolgraph-extract -module-name "$module" \
        -I "$(swift build --traits Server --show-bin-path)/Modules" \
        "${maps[@]}" -target "$target" -minimum-access-level public -skip-inherited-docs \
        -skip-synthesized-members -output-dir "$graphs"
    rm -f "$graphs/$module"@*.symbols.json
    docc convert "Client/$module/$module.docc" --additional-symbol-graph-dir "$graphs" \
        --fallback-display-name "$module" --fallback-bundle-identifier "oversync.$module" \
        --output-dir "$archive" 2>&1 | tee "$log"
    if grep -qE '^(warning|error):' "$log"; then exit 1; fi
    for page in "$@"; do
        if grep -qE "$groups" "$archive/data/documentation/$page.json"; then
            echo "docs.sh: symbols of $page have no place among its topics" >&2
            exit 1
        fi
    done
}

convert OverSQLite oversqlite oversqlite/syncengine
convert OverSQLiteTestSupport oversqlitetestsupport oversqlitetestsupport/inmemorygateway
docc merge "$work"/OverSQLite.doccarchive "$work"/OverSQLiteTestSupport.doccarchive \
    --synthesized-landing-page-name Oversync --output-path "$work/merged"
mkdir -p "$output"
cp -R "$work/merged/." "$output"
echo "The documentation is in $output; any static web server shows it."
