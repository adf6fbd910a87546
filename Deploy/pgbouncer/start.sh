#!/usr/bin/env bash
# Writes pgbouncer's configuration from the environment and the secrets, and starts it.
set -euo pipefail
umask 077
run=/run/pgbouncer
secrets=/run/secrets

# pgbouncer proves each role's password to PostgreSQL by SCRAM, and so needs the password itself. This folder is in
# memory, and only this container's.
for role in UPLOAD DOWNLOAD AUTH; do
    name=${role}_ROLE
    password=$(cat "$secrets/${role,,}_password")
    # A quote is doubled in this file.
    printf '"%s" "%s"\n' "${!name//\"/\"\"}" "${password//\"/\"\"}"
done >"$run/users"

# As libpq, which checks the certificate also for `require` when it is given an authority.
[[ $DATABASE_SSLMODE != require ]] || DATABASE_SSLMODE=verify-ca

cat >"$run/pgbouncer.ini" <<INI
[databases]
$DATABASE_NAME = host=$DATABASE_HOST port=$DATABASE_PORT dbname=$DATABASE_NAME

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
pool_mode = $PGBOUNCER_MODE
# Of each role: the server's connections are three times that at most.
default_pool_size = $PGBOUNCER_POOL_SIZE
max_client_conn = $PGBOUNCER_CLIENTS
auth_type = scram-sha-256
auth_file = $run/users
client_tls_sslmode = require
client_tls_cert_file = $secrets/pgbouncer_certificate
client_tls_key_file = $secrets/pgbouncer_key
# It must be there, although no client is asked for a certificate.
client_tls_ca_file = $secrets/database_ca
server_tls_sslmode = $DATABASE_SSLMODE
server_tls_ca_file = $secrets/database_ca
# A server that is gone is known within seconds.
server_connect_timeout = 5
server_login_retry = 1
query_wait_timeout = 5
tcp_keepidle = 30
tcp_keepintvl = 5
tcp_keepcnt = 3
log_connections = 0
log_disconnections = 0
stats_period = 3600
INI
exec pgbouncer "$run/pgbouncer.ini"
