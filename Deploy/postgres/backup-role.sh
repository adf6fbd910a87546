#!/usr/bin/env bash
# Makes the role that backups connect as, and gives it the password of its file, also after that has changed:
#
#   docker compose exec -T postgres bash /etc/oversync/backup-role.sh
set -euo pipefail
psql -v ON_ERROR_STOP=1 -q -h /run/postgresql -U postgres -d postgres <<'SQL'
\set password `cat /run/secrets/backup_password`
-- Neither a failure nor a slow disk must put the statement into the log.
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
SET log_statement = 'none';
SELECT 'CREATE ROLE oversync_backup' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'oversync_backup') \gexec
ALTER ROLE oversync_backup LOGIN REPLICATION CONNECTION LIMIT 5 PASSWORD :'password';
SQL
