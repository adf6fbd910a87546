#!/usr/bin/env bash
# Runs a coverage-guided fuzzer (libFuzzer) on the entries of Tests/FuzzUnitTests, with AddressSanitizer.
# usage: fuzz.sh SECONDS [ENTRY...]. The seconds are shared by the entries; SEED=n chooses the same inputs again.
#
# What an entry did not survive is written to .oversync/fuzz/ENTRY, and the exit code is 1. Inputs that reached new code
# stay in .oversync/fuzz/ENTRY/corpus for the next run.
set -uo pipefail
cd "$(dirname "$0")/../.."
seconds=$1
shift
# Most memory of the process, and of one allocation, in MiB.
memory=2048 allocation=256
# Longest time of one input, in seconds: a thousand times as long as any takes.
longest=10
export BUILD_FUZZER=1
# As for release, as what is compiled for debugging tries a tenth of the inputs; entries read modules' internals. In a
# folder of its own, since a sanitizer compiles everything in another way.
build=(swift build --traits Server --product oversync-fuzz --configuration release --scratch-path .build-fuzz
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing)
"${build[@]}" || exit 1
program=$("${build[@]}" --show-bin-path)/oversync-fuzz

entries=("$@")
[[ ${#entries[@]} -gt 0 ]] || mapfile -t entries < <("$program")
share=$((seconds / ${#entries[@]}))
[[ $share -gt 0 ]] || share=1
seed=${SEED:-$RANDOM}
echo "${#entries[@]} entries, $share s each, seed $seed"
failed=0
for entry in "${entries[@]}"; do
    folder=.oversync/fuzz/$entry
    mkdir -p "$folder/corpus"
    before=$(find "$folder" -maxdepth 1 -type f -name '*-*' | wc -l)
    # Swift keeps what it made once until the process ends: that is no leak.
    ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no timeout --kill-after=10 $((share + 120)) \
        "$program" "$entry" -seed="$seed" -max_total_time="$share" -timeout="$longest" -rss_limit_mb="$memory" \
        -malloc_limit_mb="$allocation" -print_final_stats=1 -artifact_prefix="$folder/" \
        "$folder/corpus" "Tests/FuzzUnitTests/Corpus/$entry" >"$folder/log" 2>&1
    status=$?
    coverage=$(grep -aoE 'cov: [0-9]+ ft: [0-9]+' "$folder/log" | tail -1)
    runs=$(grep -aoE 'number_of_executed_units: [0-9]+' "$folder/log" | grep -oE '[0-9]+$')
    printf '%-16s %12s runs, %s\n' "$entry" "${runs:-?}" "${coverage:-no coverage}"
    [[ $status -eq 0 ]] && continue
    failed=1
    tail -40 "$folder/log"
    after=$(find "$folder" -maxdepth 1 -type f -name '*-*' | wc -l)
    [[ $after -eq $before ]] || echo "the input is in $folder: copy it to Tests/FuzzUnitTests/Corpus/$entry"
done
exit $failed
