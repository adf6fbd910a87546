#!/usr/bin/env bash
# Runs test targets and ends with one summary. usage: test.sh [pattern of target names]
#
# Each target has a process of its own. Two lanes of targets run side by side, one target of each at a time: those of
# `serial`, and all others. The former mostly wait for the processes that they start, so the lanes share the cores well.
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
# Each target's output until it is printed, and how many tests of each passed and failed.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build=(swift build --traits Server)
# With a sanitizer everything is compiled in another way, and so elsewhere.
[[ -z ${SANITIZE:-} ]] || build+=(--sanitize "$SANITIZE" --scratch-path ".build-$SANITIZE")
"${build[@]}" --build-tests || exit 1
# Run as it is, not by `swift test`, which shows nothing of a target before its end, and which a time limit would end
# alone: the tests would run on.
tests=$("${build[@]}" --show-bin-path)/oversyncPackageTests.xctest
command=("$tests")
if [[ ${SANITIZE:-} == thread ]]; then
    clang -O1 -shared -fPIC -o .build-thread/tsan-mutex.so Tools/make/tsan-mutex.c -ldl || exit 1
    command=(env "LD_PRELOAD=$PWD/.build-thread/tsan-mutex.so" "$tests")
fi

# Without a way to PyPI the test that signs in at a real identity provider is skipped, and says so.
if grep -qE "$pattern" <<<EndToEndTests; then
    Tools/make/identity-provider.sh || [[ $? -eq 75 ]] || exit 1
    # Without a way to Debian's packages, no test runs a Prometheus, and those that would say so.
    Tools/make/prometheus.sh || [[ $? -eq 75 ]] || exit 1
fi

# Ends both lanes with the targets that they run.
stop() {
    local lanes running
    lanes=$(jobs -p)
    running=$(for lane in $lanes; do pgrep -P "$lane"; done)
    kill $lanes $running 2>/dev/null
    exit 130
}
trap stop INT TERM

# The names of the tests that a log says have started, and does not say have ended.
unended() {
    comm -23 \
        <(sed -nE 's/^◇ Test (.*) started\.$/\1/p' "$1" | grep -vE '^(run$|case passing )' | sort -u) \
        <(sed -nE 's/^[✔✘] Test (.*) (passed|failed) after .*/\1/p' "$1" | sed -E 's/ with [0-9]+ test cases?$//' | sort -u)
}

# Runs a target and prints what its tests say: all of it if one fails, its last line otherwise.
# usage: run_target TARGET OPTION...
run_target() {
    local target=$1 log=$scratch/$1.log status failures successes
    shift
    timeout --kill-after=10 "$target_seconds" \
        "${command[@]}" --testing-library swift-testing "$@" --filter "^$target\." >"$log" 2>&1 </dev/null
    status=$?
    if [[ $status -eq 124 || $status -eq 137 ]]; then
        {
            echo "it took longer than $target_seconds s and was ended; these had not ended by themselves:"
            unended "$log"
        } >>"$log"
    fi
    failures=$(grep -E '^✘ Test .* failed after' "$log" | grep -vc 'Test run with')
    successes=$(grep -E '^✔ Test .* passed after' "$log" | grep -vc 'Test run with')
    # The lanes print one at a time.
    (
        flock 9
        echo "== $target"
        if [[ $status -ne 0 || $successes -eq 0 ]]; then cat "$log"; fi
        grep -E '^(✔|✘) Test run with' "$log"
    ) 9>"$scratch/printing"
    [[ $failures -ne 0 || $status -eq 0 && $successes -ne 0 ]] || failures=1
    echo "$successes $failures" >>"$scratch/counts"
}

targets=$(grep -oE '"[A-Za-z]+Tests"' Package.swift | tr -d '"' | grep -E "$pattern")
: >"$scratch/counts"
for target in $(grep -E "$serial" <<<"$targets"); do run_target "$target" --no-parallel; done &
for target in $(grep -vE "$serial" <<<"$targets"); do run_target "$target"; done &
wait
read -r passed failed < <(awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }' "$scratch/counts")
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $(wc -l <"$scratch/counts") -eq $(wc -w <<<"$targets") ]]
