import Model

/// The trigger function that writes a table's plain SQL changes into the change log.
///
/// One generated function a table, so that its statements are static and planned once a session. It locks
/// the logs of the users concerned before it reads row states, as an upload does (decision D1), and leaves
/// out exactly the rows that the upload around it has logged.
package struct CaptureFunction: Sendable {
    /// Says of which shape the generated text is; part of the fingerprint, so that a newer program's
    /// `migrate` replaces what an older one made.
    private static let generation = 1

    /// The number of the writer that plain SQL counts as: no device has it, and none has its empty name.
    package static let sourceNumber: Int32 = 0

    let table: RegisteredTable

    /// Nil for a table without a business table.
    package init?(_ table: RegisteredTable) {
        guard table.mode == .table, !table.isRemoved, !table.columns.isEmpty else { return nil }
        self.table = table
    }

    /// Differs whenever the function for this table must be made anew.
    package var fingerprint: String {
        Sidecar.fingerprint(of: "\(Self.generation) \(create)")
    }

    var name: String { "sync.capture_\(table.id)" }

    var create: String {
        """
        CREATE OR REPLACE FUNCTION \(name)() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1
        AS $capture$
        DECLARE
            is_upload CONSTANT boolean := sync.is_upload_statement(TG_OP, pg_trigger_depth());
            own_scope bigint := -1;
            own_first bigint := 0;
            own_last bigint := -1;
            captured bigint;
        BEGIN
            IF is_upload THEN
                -- All of its rows are logged already, unless something else has written to them since.
                IF coalesce(current_setting('oversync.side_effects', true), '') = ''
                    AND NOT sync.cascades_into(TG_RELID, TG_OP) THEN
                    RETURN NULL;
                END IF;
                own_scope := current_setting('oversync.scope')::bigint;
                own_first := current_setting('oversync.first_seq')::bigint;
                own_last := current_setting('oversync.last_seq')::bigint;
            END IF;
            IF TG_OP = 'INSERT' THEN
                PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM \(rows("new_rows")) AS r));
                \(append(changed: inserted))
            ELSIF TG_OP = 'UPDATE' THEN
                PERFORM sync.lock_scopes(ARRAY(
                    SELECT r.user_id FROM \(rows("new_rows")) AS r
                    UNION SELECT r.user_id FROM \(rows("old_rows")) AS r));
                \(append(changed: updated))
            ELSE
                PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM \(rows("old_rows")) AS r));
                \(append(changed: deleted))
            END IF;
            IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
                PERFORM set_config('oversync.side_effects', '1', true);
            END IF;
            RETURN NULL;
        END $capture$
        """
    }

    /// A transition table's rows that belong to somebody: whose, under which key, in which order.
    private func rows(_ transition: String) -> String {
        let key = table.storedKey(of: "t")
        let numbered = "(SELECT row_number() OVER () AS \"@n\", x.* FROM \(transition) AS x) AS t"
        let payload = WireRendering.payload(of: table, row: "t")
        guard let owner = table.ownerColumn.map(quoted) else {
            return """
                (SELECT t."@n" AS n, s.user_id, o.key, \(payload) AS payload
                    FROM \(numbered)
                    JOIN sync.key_owner o ON o.table_id = \(table.id) AND o.key = \(key)
                    JOIN sync.scope s ON s.scope_id = o.scope_id)
                """
        }
        return """
            (SELECT t."@n" AS n, t.\(owner)::text AS user_id, \(key) AS key, \(payload) AS payload
                FROM \(numbered) WHERE t.\(owner) IS NOT NULL)
            """
    }

    private var inserted: String {
        "SELECT 'I'::\"char\" AS op, r.n, r.user_id, r.key, r.payload FROM \(rows("new_rows")) AS r"
    }

    private var deleted: String {
        "SELECT 'D'::\"char\" AS op, r.n, r.user_id, r.key, NULL::json AS payload FROM \(rows("old_rows")) AS r"
    }

    /// Transition tables do not pair old and new: the user and the key do. A row whose key or owner has
    /// changed is a delete and an insert; one that looks the same is no change.
    private var updated: String {
        """
        SELECT CASE WHEN b.key IS NULL THEN 'I' ELSE 'U' END::"char" AS op, a.n, a.user_id, a.key, a.payload
            FROM \(rows("new_rows")) AS a
            LEFT JOIN \(rows("old_rows")) AS b ON b.user_id = a.user_id AND b.key = a.key
            WHERE b.payload::text IS DISTINCT FROM a.payload::text
        UNION ALL
        SELECT 'D', b.n, b.user_id, b.key, NULL
            FROM \(rows("old_rows")) AS b
            LEFT JOIN \(rows("new_rows")) AS a ON a.user_id = b.user_id AND a.key = b.key
            WHERE a.key IS NULL
        """
    }

    /// Deletes go before upserts, as a unique value may move from one row to another.
    private func append(changed: String) -> String {
        """
        WITH changed AS (
            \(changed)
        ), numbered AS (
            SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
                s.last_seq + row_number() OVER (
                    PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
            FROM changed c
            JOIN sync.scope s ON s.user_id = c.user_id
            LEFT JOIN sync.row_state r
                ON r.scope_id = s.scope_id AND r.table_id = \(table.id) AND r.key = c.key
            WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
                    AND (c.op <> 'D' OR r.deleted))
                AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        ), logged AS (
            INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
                source_change_id, content_hash)
            SELECT n.scope_id, n.seq, \(table.id), n.op, n.key, n.version, n.payload, \(Self.sourceNumber),
                n.seq, 0
            FROM numbered n
        ), stated AS (
            INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
            SELECT n.scope_id, \(table.id), n.key, n.version, n.seq, n.op = 'D' FROM numbered n
            ON CONFLICT (scope_id, table_id, key) DO UPDATE
            SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
        ), advanced AS (
            UPDATE sync.scope s SET last_seq = n.last_seq
            FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
            WHERE s.scope_id = n.scope_id
        )\(disowned)
        SELECT count(*) FROM numbered INTO captured;
        """
    }

    /// A key whose row has gone is anybody's again.
    private var disowned: String {
        guard table.ownerColumn == nil else { return "" }
        return """
            , disowned AS (
                DELETE FROM sync.key_owner o USING numbered n
                WHERE n.op = 'D' AND o.table_id = \(table.id) AND o.key = n.key
            )
            """
    }
}
