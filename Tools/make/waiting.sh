#!/usr/bin/env bash
# Says which process a build is about to wait for. SwiftPM's own message has no line end, so a
# program that collects lines shows it late or never.
set -euo pipefail

lock=.build/.lock
# Where there is no flock, as on macOS, SwiftPM's words must do.
command -v flock >/dev/null && [[ -e $lock ]] || exit 0
flock --nonblock "$lock" true && exit 0
echo "another build or test uses .build (process $(tr -d '\n' <"$lock")): waiting until it ends" >&2
