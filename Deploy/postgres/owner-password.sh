#!/usr/bin/env bash
# Gives the tables' owner the password of its file, at the first start and after the file has changed:
#
#   docker compose exec -T postgres bash /etc/oversync/owner-password.sh
set -euo pipefail
psql -v ON_ERROR_STOP=1 -q -h "${1:-/run/postgresql}" -U postgres -d postgres -v owner="$DATABASE_OWNER" <<'SQL'
\set password `cat /run/secrets/database_owner_password`
-- Neither a failure nor a slow disk must put the statement into the log.
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
SET log_statement = 'none';
ALTER ROLE :"owner" PASSWORD :'password';
SQL
