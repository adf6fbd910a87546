#!/usr/bin/env bash
# Says for whom a build is about to wait. SwiftPM's own words for it come without the end of a line, and so late or
# never to whoever collects lines.
set -euo pipefail

lock=.build/.lock
# Where there is no flock, as on macOS, SwiftPM's words must do.
command -v flock >/dev/null && [[ -e $lock ]] || exit 0
flock --nonblock "$lock" true && exit 0
echo "another build or test uses .build (process $(tr -d '\n' <"$lock")): waiting until it ends" >&2
