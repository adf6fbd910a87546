#!/usr/bin/env bash
# Runs test targets one after the other and ends with one summary.
#
# One process for each target: suites that measure time (deadlines, ejection of frozen replicas) must not share two
# cores with a random walk of another target. usage: test.sh [pattern of target names]
#
# Targets of `serial` run one test after the other: each of their tests starts several processes or moves many
# megabytes, and what others measure meanwhile would be the machine's load.
#
# SANITIZE=thread compiles with ThreadSanitizer into .build-thread; a data race fails its target.
set -uo pipefail
cd "$(dirname "$0")/../.."
pattern=${1:-.}
# Longest time of one target: a test that hangs must fail and not use up CI's time.
target_seconds=1500
serial='^(GatewayIntegrationTests|EndToEndTests)$'
# Tests of the other targets that run at once. All of them at once would wait for each other most of the time, and the
# time limit of a test counts its waiting.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=8
log=$(mktemp)
trap 'rm -f "$log"' EXIT

build=(swift build --traits Server)
# With a sanitizer everything is compiled in another way, and so elsewhere.
[[ -z ${SANITIZE:-} ]] || build+=(--sanitize "$SANITIZE" --scratch-path ".build-$SANITIZE")
"${build[@]}" --build-tests || exit 1
# Run as it is, not by `swift test`, which shows nothing of a target before its end, and which a time limit would end
# alone: the tests would run on.
tests=$("${build[@]}" --show-bin-path)/oversyncPackageTests.xctest
passed=0
failed=0
for target in $(grep -oE '"[A-Za-z]+Tests"' Package.swift | tr -d '"' | grep -E "$pattern"); do
    echo "== $target"
    options=()
    [[ $target =~ $serial ]] && options=(--no-parallel)
    timeout --kill-after=10 "$target_seconds" \
        "$tests" --testing-library swift-testing "${options[@]}" --filter "^$target\." >"$log" 2>&1 </dev/null
    status=$?
    [[ $status -ne 124 && $status -ne 137 ]] || echo "it took longer than $target_seconds s and was ended" >>"$log"
    failures=$(grep -E '^✘ Test .* failed after' "$log" | grep -vc 'Test run with')
    successes=$(grep -E '^✔ Test .* passed after' "$log" | grep -vc 'Test run with')
    if [[ $status -ne 0 || $successes -eq 0 ]]; then
        [[ $failures -eq 0 ]] && failures=1
        cat "$log"
    fi
    grep -E '^(✔|✘) Test run with' "$log"
    passed=$((passed + successes))
    failed=$((failed + failures))
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
