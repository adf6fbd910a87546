#!/bin/sh
# Regenerates what is made from Shared/Protos/Definitions: the Swift of target Protos and the C of
# target ProtobufC, which the tests use as a second implementation. Both are committed.
#
# Needs protoc and protoc-c (Debian: protobuf-compiler, protobuf-c-compiler). protoc-gen-swift is
# taken from PROTOC_GEN_SWIFT, or built from the package's own copy of swift-protobuf: the build
# plugin would compile protoc first, for ten minutes.
#
#   Tools/generate-protos.sh            rewrites the generated files
#   Tools/generate-protos.sh --check    fails if they differ from what the definitions give
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
definitions=$root/Shared/Protos/Definitions
swift_output=$root/Shared/Protos/Generated
c_output=$root/Tests/ProtobufC/Generated

plugin=${PROTOC_GEN_SWIFT:-}
if [ -z "$plugin" ]; then
    checkout=$root/.build/checkouts/swift-protobuf
    [ -d "$checkout" ] || swift package --package-path "$root" resolve --traits Server
    scratch=$root/.build/protoc-gen-swift
    swift build --package-path "$checkout" --scratch-path "$scratch" \
        --product protoc-gen-swift >&2
    plugin=$scratch/debug/protoc-gen-swift
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/swift" "$work/c"
protoc --proto_path="$definitions" \
    --plugin=protoc-gen-swift="$plugin" \
    --swift_out="$work/swift" --swift_opt=Visibility=Package --swift_opt=FileNaming=DropPath \
    "$definitions"/*.proto
protoc-c --proto_path="$definitions" --c_out="$work/c" "$definitions"/*.proto

if [ "${1:-}" = --check ]; then
    diff -r "$work/swift" "$swift_output" && diff -r "$work/c" "$c_output"
    exit
fi
mkdir -p "$swift_output" "$c_output"
rm -f "$swift_output"/*.pb.swift "$c_output"/*.pb-c.[ch]
cp "$work/swift"/* "$swift_output"
cp "$work/c"/* "$c_output"
