#!/usr/bin/env bash
# Starts the bundled PostgreSQL, as its own user and without any capability.
#
# Not the image's own entrypoint: that one needs root at first, and leaves the password in the environment.
set -euo pipefail
config=/etc/oversync
run=/run/postgresql

# PostgreSQL refuses a key that others can read; the mounted one belongs to the host's user.
install -m 0600 /run/secrets/database_key "$run/tls.key"
# Who runs psql inside this container is the superuser or the owner of the database, without a password.
printf 'operator postgres %s\n' postgres "$DATABASE_OWNER" >"$run/pg_ident.conf"

server=(
    -c "config_file=$config/postgresql.conf" -c "hba_file=$config/pg_hba.conf"
    -c "ident_file=$run/pg_ident.conf"
    -c "shared_buffers=$POSTGRES_SHARED_BUFFERS" -c "effective_cache_size=$POSTGRES_CACHE"
    -c "max_connections=$POSTGRES_CONNECTIONS"
)

# The first start. The cluster gets its name when it is complete: one that was interrupted begins again.
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    new=$PGDATA.new
    rm -rf "$new"
    initdb -D "$new" -U postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
        --auth-local=peer --auth-host=reject >/dev/null
    # Listens on a socket that nobody else looks for, so that nobody finds it half made.
    pg_ctl -D "$new" -s -w start \
        -o "${server[*]} -c listen_addresses='' -c unix_socket_directories=/tmp" >/dev/null
    psql -v ON_ERROR_STOP=1 -q -h /tmp -U postgres -d postgres -v owner="$DATABASE_OWNER" \
        -v database="$DATABASE_NAME" <<'SQL'
-- CREATEROLE: `oversync migrate` makes the services' roles.
CREATE ROLE :"owner" LOGIN CREATEROLE;
-- Runbooks look at the sessions of the services, and end some.
GRANT pg_monitor, pg_signal_backend TO :"owner";
CREATE DATABASE :"database" OWNER :"owner";
REVOKE CONNECT, TEMPORARY ON DATABASE :"database" FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
SQL
    bash "$config/owner-password.sh" /tmp
    pg_ctl -D "$new" -s -w -m fast stop
    mv "$new" "$PGDATA"
fi
exec postgres -D "$PGDATA" "${server[@]}"
