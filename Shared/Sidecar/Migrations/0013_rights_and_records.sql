-- Devices that a header names, rights by patterns of names, and the audit.

-- A device that a request's header names belongs to the user who used it first: found without a user. By a hash, which
-- no statement that names the scope can use instead: many users may have devices of one name.
CREATE INDEX source_device ON sync.source (hashtextextended(device, 0));

-- Tables that are open to users and devices by the pattern of their names, beside roles.

-- Each an array of objects with "role", "user" and "device", as far as they are named; a table with patterns and no roles
-- has an empty array of roles, so that services of the version before let in nobody for them.
ALTER TABLE sync.catalog ADD COLUMN read_patterns json, ADD COLUMN write_patterns json;

-- The audit: who did what with power, from where, and what came of it.

ALTER TABLE sync.audit
    -- What kind of name the actor is: role, token, client or service. Null where an older version wrote the row.
    ADD COLUMN actor_kind text,
    -- Who signed the actor's token, where that is known.
    ADD COLUMN issuer text,
    -- A client's address, or the user and name of a machine.
    ADD COLUMN host text,
    -- The role of the session that wrote the row.
    ADD COLUMN database_role text,
    -- Why it was refused or failed, or more about what was done.
    ADD COLUMN code text,
    -- The rows of one action that took several transactions.
    ADD COLUMN operation uuid;
-- Not with the column: the rows that are there would get the migrator's.
ALTER TABLE sync.audit ALTER COLUMN database_role SET DEFAULT session_user;
-- For pruning, and for reading what is new.
CREATE INDEX audit_at ON sync.audit (at);

-- A service adds rows, and does not choose their number, time and role: one that was broken into could take the numbers
-- of rows to come, and so keep them from being written.
CREATE FUNCTION sync.stamp_audit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'sync.audit'::regclass), 'MEMBER') THEN
        NEW.id := nextval(pg_get_serial_sequence('sync.audit', 'id'));
        NEW.at := now();
        NEW.database_role := session_user;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON sync.audit FOR EACH ROW EXECUTE FUNCTION sync.stamp_audit();
REVOKE ALL ON FUNCTION sync.stamp_audit() FROM PUBLIC;

-- What Auth may add to it. Time and role are not its to choose.
CREATE VIEW oversync_auth.audit AS
SELECT actor, actor_kind, issuer, host, action, target, outcome, code, details, operation FROM sync.audit;

-- The settings that each service last started with, but for secrets, so that a change is seen.
CREATE TABLE sync.service_configuration (
    service text PRIMARY KEY,
    -- By name, as text.
    settings jsonb,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- Records the settings that a service starts with. Only a difference from the last ones goes into the audit: replicas
-- that start at once take turns, and the first tells. True if it has.
CREATE FUNCTION sync.record_configuration(service_name text, host_name text, given jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former jsonb;
    differences json;
BEGIN
    INSERT INTO sync.service_configuration (service) VALUES (service_name) ON CONFLICT DO NOTHING;
    SELECT c.settings INTO former FROM sync.service_configuration c WHERE c.service = service_name FOR UPDATE;
    IF former = given THEN
        RETURN false;
    END IF;
    UPDATE sync.service_configuration SET settings = given, recorded_at = now() WHERE service = service_name;
    SELECT json_object_agg(name, json_build_object('from', f.value, 'to', g.value) ORDER BY name) INTO differences
    FROM jsonb_each_text(coalesce(former, '{}')) AS f(name, value)
    FULL JOIN jsonb_each_text(given) AS g(name, value) USING (name)
    WHERE f.value IS DISTINCT FROM g.value;
    INSERT INTO sync.audit (actor, actor_kind, host, action, target, outcome, code, details)
    VALUES (service_name, 'service', host_name, 'configuration.change', service_name, 'done',
        CASE WHEN former IS NULL THEN 'first' ELSE 'changed' END, differences);
    RETURN true;
END $$;

-- The same for Auth, which enters no other schema.
CREATE FUNCTION oversync_auth.record_configuration(host_name text, given jsonb) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN sync.record_configuration('oversync-auth', host_name, given);

REVOKE ALL ON FUNCTION sync.record_configuration(text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION oversync_auth.record_configuration(text, jsonb) FROM PUBLIC;
