-- What devices say of themselves, for administrators: nothing is decided by it. A device that does not say anything has
-- no row.

CREATE TABLE sync.device_report (
    scope_id bigint NOT NULL,
    device text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    -- When the device last said something of itself, and what. Both null where only a token was rejected.
    reported_at timestamptz,
    report json,
    -- When a token of the device with a good signature was last rejected, and why.
    rejected_at timestamptz,
    rejection text,
    PRIMARY KEY (scope_id, device)
);

-- The newest rows of the audit, for administrators: what reads for them gets no right on the table itself.
CREATE FUNCTION sync.read_audit(wanted_action text, before_id bigint, most integer) RETURNS SETOF sync.audit
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM sync.audit a
    WHERE (wanted_action = '' OR a.action = wanted_action) AND (before_id = 0 OR a.id < before_id)
    ORDER BY a.id DESC LIMIT most;
$$;
REVOKE ALL ON FUNCTION sync.read_audit(text, bigint, integer) FROM PUBLIC;
