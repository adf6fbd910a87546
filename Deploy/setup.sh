#!/usr/bin/env bash
# Makes what a deployment needs before its first start, as files in Deploy/secrets: passwords, the key that seals the
# signing keys, and a private certificate authority with certificates for the gateway and PostgreSQL.
#
#   Deploy/setup.sh [NAME ...]      NAMEs: host names and addresses that devices call the gateway by (localhost)
#   Deploy/setup.sh --renew [NAME ...]   issues the certificates again; passwords and keys stay
#
# Run it again at any time: it keeps what is there. It needs openssl.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
secrets=secrets
# Apple's devices refuse a server certificate that is good for longer.
certificate_days=825
authority_days=3650

renew=no
if [[ ${1:-} == --renew ]]; then
    renew=yes
    shift
fi
case ${1:-} in -*)
    sed -n '2,8p' "$0"
    exit 64
    ;;
esac
command -v openssl >/dev/null || { echo "setup.sh: install openssl first" >&2; exit 69; }
mkdir -p "$secrets"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Writes standard input in place: a container that runs sees the file that was there when it started, and its new text.
#
# Everybody may read the file, nobody but you can enter its folder: the containers run as user 10001, which owns nothing
# here, and Docker hands each of them only the files that it names.
put() {
    cat >"$work/new"
    cat "$work/new" >"$secrets/$1"
    chmod 0444 "$secrets/$1"
    chmod u+w "$secrets/$1"
    echo "  $secrets/$1"
}
missing() { [[ ! -s $secrets/$1 ]]; }

for name in database_owner upload download auth maintenance backup grafana; do
    # Letters and digits only, so that a password needs no quoting wherever it goes.
    if missing "${name}_password"; then openssl rand -hex 24 | put "${name}_password"; fi
done
if missing auth_master_key; then openssl rand -base64 48 | tr -d '\n' | put auth_master_key; fi
if missing log_secret; then openssl rand -hex 32 | put log_secret; fi
if missing jwt_hs256_secret; then openssl rand -base64 48 | tr -d '\n' | put jwt_hs256_secret; fi

if missing ca.key || missing ca.pem; then
    openssl ecparam -genkey -name prime256v1 -noout -out "$work/ca.key"
    openssl req -x509 -new -key "$work/ca.key" -sha256 -days $authority_days \
        -subj "/CN=Oversync private authority" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$work/ca.pem" 2>/dev/null
    put ca.pem <"$work/ca.pem"
    put ca.key <"$work/ca.key"
    # No container reads it.
    chmod 0600 "$secrets/ca.key"
    renew=yes
fi

# issue FILE NAME...: a key and a certificate for the names, from the private authority.
issue() {
    local file=$1 name kind names=
    shift
    for name in "$@"; do
        kind=DNS
        [[ $name =~ ^[0-9.]+$ || $name == *:* ]] && kind=IP
        names+=${names:+,}$kind:$name
    done
    openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt -out "$work/key"
    openssl req -new -key "$work/key" -subj "/CN=oversync-$file" -out "$work/request"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n' \
        "$names" >"$work/extensions"
    openssl x509 -req -in "$work/request" -CA "$secrets/ca.pem" -CAkey "$secrets/ca.key" \
        -set_serial "0x$(openssl rand -hex 16)" -days $certificate_days -sha256 \
        -extfile "$work/extensions" -out "$work/certificate" 2>/dev/null
    put "$file.key" <"$work/key"
    put "$file.pem" <"$work/certificate"
}
# The names of the gateway's certificate, one a line, as openssl writes them.
certified() {
    openssl x509 -in "$secrets/gateway.pem" -noout -ext subjectAltName |
        grep -oE '(DNS|IP Address):[^, ]+' | sed -E 's/^[^:]+://; s/^0:0:0:0:0:0:0:1$/::1/'
}
names=("$@")
if missing gateway.pem || missing gateway.key; then
    [[ ${#names[@]} -gt 0 ]] || names=("$(hostname)")
    renew_gateway=yes
elif [[ $renew == yes ]]; then
    # Without names, those that it has: devices call it by them.
    [[ ${#names[@]} -gt 0 ]] || mapfile -t names < <(certified)
    renew_gateway=yes
else
    renew_gateway=no
    for name in "${names[@]}"; do
        [[ $name == *:* ]] || certified | grep -qxiF "$name" || {
            mapfile -t names < <(printf '%s\n' "$(certified)" "${names[@]}" | awk '!seen[$0]++')
            echo "setup.sh: secrets/gateway.pem is not for $name; issue it again: setup.sh --renew ${names[*]}" >&2
            exit 65
        }
    done
fi
if [[ $renew_gateway == yes ]]; then
    mapfile -t names < <(printf '%s\n' "${names[@]}" localhost gateway 127.0.0.1 ::1 | awk '!seen[$0]++')
    issue gateway "${names[@]}"
fi
for file in postgres pgbouncer; do
    if [[ $renew == yes ]] || missing $file.pem || missing $file.key; then issue $file $file localhost; fi
done

if [[ ! -e config/oversync.yaml ]]; then
    cp config/oversync.example.yaml config/oversync.yaml
    echo "  config/oversync.yaml: the tables that sync; none yet"
fi
# Containers read them as users of their own.
chmod -R a+rX config postgres pgbouncer backup
[[ -e .env ]] || { cp .env.example .env; echo "  .env: what you may change"; }
echo "Ready. Next: cd $PWD && docker compose up --wait --wait-timeout 300"
