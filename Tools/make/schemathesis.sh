#!/usr/bin/env bash
# Runs schemathesis (PyPI) against a private stack, over TLS: requests that fit Docs/openapi.yaml and requests that do
# not, and every answer as the page says. usage: schemathesis.sh FOLDER_OF_PROGRAMS
#
# EXAMPLES=n: of each operation (100). MOST_SECONDS=n: for all of them (600). SEED=n: the same again.
# Fails with exit code 75 where PyPI cannot be reached.
set -uo pipefail
cd "$(dirname "$0")/../.."
programs=$(realpath "$1")
examples=${EXAMPLES:-100} seconds=${MOST_SECONDS:-600} seed=${SEED:-$RANDOM}
package=schemathesis==4.32.5
folder=.oversync/schemathesis
# What is more than this is an answer to fix, or a request that hangs.
request_seconds=20
source Tools/make/private-stack.sh

if [[ ! -f $folder/installed || $(<"$folder/installed") != "$package" ]]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || Tools/make/packages.sh python3 python3-venv || exit 1
    rm -rf "$folder"
    python3 -m venv "$folder" || exit 1
    if ! "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 2 --timeout 20 "$package"; then
        echo "PyPI cannot be reached: nothing was tested" >&2
        exit 75
    fi
    echo "$package" >"$folder/installed"
fi

start_stack
TOKEN=$("$programs/oversync" token --directory "$scratch" --user ann --device phone --role admin --lifetime 86400) || exit 1

# Rows to be found, and a change that its table refuses.
key=550e8400-e29b-41d4-a716-446655440000
change() { echo "{\"source_change_id\":$1,\"schema\":\"business\",\"table\":\"$2\",\"op\":\"INSERT\",\"pk\":\"$3\",\"payload\":$4}"; }
changes="$(change 1 users $key '{"name":"Ann"}'),$(change 2 currencies XTS '{"name":"Test","digits":"2"}'),$(
    change 3 posts ${key/%0/1} "{\"author_id\":\"$key\",\"title\":null}")"
curl --silent --show-error --fail --output /dev/null --cacert "$authority" -H "Authorization: Bearer $TOKEN" \
    --data-binary "{\"changes\":[$changes]}" "$gateway/sync/upload" || exit 1

echo "$examples examples of each operation, seed $seed (SEED=$seed repeats them)"
export TOKEN PYTHONPATH=$PWD/Tools/make SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONDONTWRITEBYTECODE=1
root=$PWD
# What it keeps for the next run goes to the folder that it runs in.
(cd .oversync && timeout --kill-after=10 $((seconds + 60)) \
    schemathesis/bin/schemathesis --no-color --config-file "$root/Tools/make/schemathesis.toml" \
    run "$root/Docs/openapi.yaml" --url "$gateway" --tls-verify "$authority" --checks all \
    --max-examples "$examples" --seed "$seed" --request-timeout "$request_seconds" \
    --max-failures 100)
status=$?
if ! kill -0 "$stack" 2>/dev/null; then
    echo "the stack has ended:" >&2
    tail -20 "$scratch/oversync.log" >&2
    exit 1
fi
# What a service did not expect stands in its log, whatever it answered.
if grep -E '"level":"(error|critical)"' "$scratch/oversync.log" >&2; then exit 1; fi
exit $status
