#!/usr/bin/env bash
# Installs a real identity provider from PyPI for the tests that sign in at one, into .build/identity-provider.
# Fails with exit code 75 where PyPI cannot be reached: the tests then say so and are skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
# The last release that runs on Python 3.11.
package=oidc-provider-mock==0.3.4
folder=.build/identity-provider
[[ -f $folder/installed && $(<"$folder/installed") == "$package" ]] && exit 0

python3 -c 'import ensurepip, venv' 2>/dev/null || Tools/make/packages.sh python3 python3-venv || exit 1
rm -rf "$folder"
python3 -m venv "$folder" || exit 1
if ! "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 2 --timeout 20 "$package"; then
    echo "PyPI cannot be reached: no test signs in at a real identity provider" >&2
    exit 75
fi
echo "$package" >"$folder/installed"
