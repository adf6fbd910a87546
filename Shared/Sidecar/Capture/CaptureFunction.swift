import Model

/// The trigger function that writes a table's plain SQL changes into the change log.
///
/// One generated function a table, so that its statements are static and planned once a session. It locks
/// the logs of the users concerned before it reads row states, as an upload does (decision D1), and leaves
/// out exactly the rows that the upload around it has logged.
package struct CaptureFunction: Sendable {
    let table: RegisteredTable
    var name: String { "sync.capture_\(table.id)" }

    /// Nil for a table without a business table.
    package init?(_ table: RegisteredTable) {
        guard table.mode == .table, !table.isRemoved, !table.columns.isEmpty else { return nil }
        self.table = table
    }

    /// Differs whenever the function for this table must be made again: the table has changed, or a
    /// newer program makes another function.
    package var fingerprint: String {
        Sidecar.fingerprint(of: create)
    }

    var create: String {
        """
        CREATE OR REPLACE FUNCTION \(name)() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        \(RenderingSettings.clauses)
        AS $capture$
        DECLARE
            is_upload CONSTANT boolean := sync.is_upload_statement(TG_OP, pg_trigger_depth());
            own_scope bigint := -1;
            own_first bigint := 0;
            own_last bigint := -1;
            -- The registered table, also where a part of it was written to by its own name.
            registered oid := TG_RELID;
            -- Set if they are others than this function was made for.
            columns text;
            source text := CASE TG_OP WHEN 'DELETE' THEN '(SELECT r.* FROM old_rows AS r WHERE false)'
                ELSE 'new_rows' END;
            captured bigint;
        BEGIN
            IF is_upload THEN
                -- All of its rows are logged already, unless something else has written to them since.
                IF coalesce(current_setting('oversync.side_effects', true), '') = ''
                    AND (TG_OP = 'INSERT' OR NOT sync.cascades_into(TG_RELID, TG_OP)) THEN
                    RETURN NULL;
                END IF;
                own_scope := current_setting('oversync.scope')::bigint;
                own_first := current_setting('oversync.first_seq')::bigint;
                own_last := current_setting('oversync.last_seq')::bigint;
            END IF;
            \(part)
            -- The team alters its tables before it runs `oversync migrate`.
            IF \(WireRendering.columnListQuery(relation: "registered", except: except))
                <> \(literal(WireRendering.columnList(of: table))) THEN
                columns := sync.wire_columns(registered, \(wireColumnsArguments));
                IF columns IS NULL THEN
                    RAISE EXCEPTION 'the key or owner column of % has gone', TG_RELID::regclass
                        USING ERRCODE = 'undefined_column',
                            HINT = 'Name the new one in oversync.yaml and run oversync migrate.';
                END IF;
            END IF;
            IF TG_OP = 'TRUNCATE' THEN
                \(truncated)
                RETURN NULL;
            END IF;
            \(readAgain)
            IF TG_OP = 'INSERT' THEN
                PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM \(rows("new_rows")) AS r));
                \(append(inserted))
            ELSIF TG_OP = 'UPDATE' THEN
                PERFORM sync.lock_scopes(ARRAY(
                    SELECT r.user_id FROM \(rows("new_rows")) AS r
                    UNION SELECT r.user_id FROM \(rows("old_rows")) AS r));
                \(append(updated))
            ELSE
                PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM \(rows("old_rows")) AS r));
                \(append(planned: deleted(nil), made: deleted(Self.sourceMark)))
            END IF;
            \(noteSideEffects)
            RETURN NULL;
        END $capture$
        """
    }

    /// An upload reads its facts again when its statements have caused changes of others.
    private var noteSideEffects: String {
        """
        IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
                PERFORM set_config('oversync.side_effects', '1', true);
            END IF;
        """
    }

    /// Finds the registered table of a partition, or of a table that inherits, which was written to
    /// by its own name. One that is no part of it any more keeps its triggers until the next
    /// `oversync migrate`: what is written there is nobody's.
    private var part: String {
        """
        IF TG_NARGS > 0 THEN
                registered := (
                    WITH RECURSIVE above AS (
                        SELECT h.inhparent AS oid FROM pg_inherits h WHERE h.inhrelid = TG_RELID
                        UNION SELECT h.inhparent
                        FROM above JOIN pg_inherits h ON h.inhrelid = above.oid
                    )
                    SELECT above.oid FROM above JOIN pg_trigger t ON t.tgrelid = above.oid
                        AND t.tgfoid = \(literal(name))::regproc AND t.tgnargs = 0 LIMIT 1);
                IF registered IS NULL THEN
                    RETURN NULL;
                END IF;
            END IF;
        """
    }

    /// TRUNCATE tells no rows: they are read before they go. It runs the triggers of each partition
    /// and child table, too, except of those that are newer than the last `oversync migrate`: so a
    /// partitioned table reads all of its partitions.
    private var truncated: String {
        let rows = rows(Self.sourceMark)
        let lock = "SELECT sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM \(rows) AS r))"
        let made = append(changed: gone(from: Self.sourceMark), own: ("$1", "$2", "$3"))
        func format(_ sql: String) -> String {
            let text = sql.replacing("%", with: "%%").replacing(Self.sourceMark, with: "%1$s")
            return "format(\(literal(text)), source)"
        }
        return """
            source := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || TG_RELID::regclass
                    FROM pg_class c WHERE c.oid = TG_RELID);
                EXECUTE \(format(lock));
                EXECUTE \(format(made))
                    INTO captured USING own_scope, own_first, own_last;
                \(noteSideEffects)
            """
    }

    /// A trigger of the team's has written to this table, perhaps to the rows of the statement around it, whose
    /// transition tables still have them as they were before. What stands under the keys that such statements
    /// wrote or deleted is read again, for the rest of the transaction.
    private var readAgain: String {
        """
        IF strpos(coalesce(current_setting('oversync.nested', true), ''), format(' %s ', registered)) > 0 THEN
                columns := coalesce(columns, \(literal(WireRendering.columns(of: table, row: "t"))));
                source := format('(SELECT b.* FROM %s AS b WHERE b.%I IN (' || CASE TG_OP
                        WHEN 'INSERT' THEN 'SELECT r.%2$I FROM new_rows AS r'
                        WHEN 'DELETE' THEN 'SELECT r.%2$I FROM old_rows AS r'
                        ELSE 'SELECT r.%2$I FROM new_rows AS r UNION ALL SELECT r.%2$I FROM old_rows AS r'
                    END || '))', registered::regclass, \(literal(table.keyColumn)));
            ELSIF pg_trigger_depth() > 1 THEN
                PERFORM set_config('oversync.nested',
                    format('%s %s ', current_setting('oversync.nested', true), registered), true);
            END IF;
        """
    }

    private var wireColumnsArguments: String {
        ([literal(table.keyColumn), ownerName] + (except.map { [$0] } ?? []))
            .joined(separator: ", ")
    }

    private var except: String? { WireRendering.except(of: table) }
    private var ownerName: String { table.ownerColumn.map(literal) ?? "NULL" }

    /// Stands next to the columns of a row. PostgreSQL gives no column of a table the name of one of its own.
    private static let numberName = "ctid"

    /// A transition table's rows that belong to somebody: whose, under which key, in which order.
    ///
    /// - Parameter columns: what a payload is made of, as `WireRendering` writes it; nil for none.
    private func rows(_ transition: String, _ columns: String? = nil) -> String {
        let key = table.storedKey(of: "t")
        let numbered =
            "(SELECT row_number() OVER () AS \(Self.numberName), x.* FROM \(transition) AS x) AS t"
        let payload = columns.map(WireRendering.payload(columns:)) ?? "NULL::json"
        guard let owner = table.ownerColumn.map(quoted) else {
            return """
                (SELECT t.\(Self.numberName) AS n, s.user_id, o.key, \(payload) AS payload
                    FROM \(numbered)
                    JOIN sync.key_owner o ON o.table_id = \(table.id) AND o.key = \(key)
                    JOIN sync.scope s ON s.scope_id = o.scope_id)
                """
        }
        return """
            (SELECT t.\(Self.numberName) AS n, t.\(owner)::text AS user_id, \(key) AS key, \(payload) AS payload
                FROM \(numbered) WHERE t.\(owner) IS NOT NULL)
            """
    }

    private func inserted(_ written: String, _ columns: String) -> String {
        """
        SELECT 'I'::"char" AS op, r.n, r.user_id, r.key, r.payload FROM \(rows(written, columns)) AS r
        """
    }

    /// - Parameter written: the rows that stand under the deleted keys again, logged by the statement that
    ///   wrote them; nil if there are none.
    private func deleted(_ written: String?) -> String {
        let gone = gone(from: "old_rows")
        guard let written else { return gone }
        return """
            \(gone) WHERE NOT EXISTS (
                SELECT FROM \(rows(written)) AS a WHERE a.user_id = r.user_id AND a.key = r.key)
            """
    }

    private func gone(from rows: String) -> String {
        "SELECT 'D'::\"char\" AS op, r.n, r.user_id, r.key, r.payload FROM \(self.rows(rows)) AS r"
    }

    /// Transition tables do not pair old and new: the user and the key do. A row whose key or owner has
    /// changed is a delete and an insert; one that looks the same is no change. Foreign keys can write to a row
    /// several times within one statement: it counts as it was at first and as it is at last.
    private func updated(_ written: String, _ columns: String) -> String {
        """
        (SELECT DISTINCT ON (a.user_id, a.key)
                CASE WHEN b.key IS NULL THEN 'I' ELSE 'U' END::"char" AS op, a.n, a.user_id, a.key, a.payload
            FROM \(rows(written, columns)) AS a
            LEFT JOIN \(rows("old_rows", columns)) AS b ON b.user_id = a.user_id AND b.key = a.key
            WHERE b.payload::text IS DISTINCT FROM a.payload::text
            ORDER BY a.user_id, a.key, a.n DESC)
        UNION ALL
        SELECT 'D', b.n, b.user_id, b.key, NULL
            FROM \(rows("old_rows")) AS b
            LEFT JOIN \(rows(written)) AS a ON a.user_id = b.user_id AND a.key = b.key
            WHERE a.key IS NULL
        """
    }

    /// Stand in a statement that is put together when it runs for a payload's columns, and for where the rows
    /// that a statement wrote are read. No name in SQL has such a character.
    private static let (columnsMark, sourceMark) = ("\u{0}columns", "\u{0}source")

    /// A planned statement for the columns that this was made for, and one put together on the spot for others.
    ///
    /// - Parameter changed: a query of the changes, given the rows that were written and a payload's columns.
    private func append(_ changed: (_ written: String, _ columns: String) -> String) -> String {
        append(
            planned: changed("new_rows", WireRendering.columns(of: table, row: "t")),
            made: changed(Self.sourceMark, Self.columnsMark))
    }

    private func append(planned: String, made: String) -> String {
        let planned = append(changed: planned, own: ("own_scope", "own_first", "own_last"))
        let made = append(changed: made, own: ("$1", "$2", "$3")).replacing("%", with: "%%")
            .replacing(Self.columnsMark, with: "%1$s").replacing(Self.sourceMark, with: "%2$s")
        return """
            IF columns IS NULL THEN
                    \(planned) INTO captured;
                ELSE
                    EXECUTE format(\(literal(made)), columns, source)
                        INTO captured USING own_scope, own_first, own_last;
                END IF;
            """
    }

    /// - Parameter own: where the upload around this statement says what it has logged itself.
    private func append(
        changed: String, own: (scope: String, first: String, last: String)
    ) -> String {
        ChangeAppend(table: table).sql(
            changed: changed,
            except: """
                s.scope_id = \(own.scope) AND coalesce(r.seq, 0) BETWEEN \(own.first) AND \(own.last)
                    AND (c.op <> 'D' OR r.deleted)
                """)
    }
}
