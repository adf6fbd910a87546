#!/usr/bin/env bash
# Builds the programs that the images hold: for release, with the Swift runtime linked in, and stripped.
#
# usage: binaries.sh [output folder]; by default .oversync/binaries
set -euo pipefail
cd "$(dirname "$0")/../.."
output=${1:-.oversync/binaries}
# A scratch path of its own: other flags in .build would compile everything again, there and here.
build=(swift build --traits Server -c release --static-swift-stdlib --scratch-path .build-static)
programs=(oversync-gateway oversync-upload oversync-download oversync-auth oversync oversync-dev)

for program in "${programs[@]}"; do "${build[@]}" --product "$program"; done
mkdir -p "$output"
folder=$("${build[@]}" --show-bin-path)
for program in "${programs[@]}"; do
    strip -o "$output/$program" "$folder/$program"
    echo "$program: $(($(stat -c %s "$output/$program") / 1000000)) MB"
done
