import Model
import Postgres
import Testing
@testable import UploadService

/// The team's policies decide about each row of an upload, as the user who sent it.
@Suite("Row-level security of business tables", .timeLimit(.minutes(10)))
struct PolicyTests {
    private static func task(
        _ n: Int, _ op: String, _ key: String, base: Int = 0, _ payload: String? = nil
    ) -> String {
        Policies.task(n, op, key, base: base, payload)
    }

    @Test("A policy that compares the owner takes a user's own rows, of keys of every kind")
    func ofOwner() async throws {
        try await Policies.with(Policies.ofOwner) { database in
            func round(_ n: Int, _ op: String, _ base: Int, _ text: String) -> String {
                let payloads =
                    op == "DELETE"
                    ? [nil, nil, nil]
                    : ["title", "label", "value"].map {
                        #"{"\#($0)":"\#(text)"}"#
                    }
                return [
                    Self.task(n, op, "a1", base: base, payloads[0]),
                    change(n + 1, op, "words", "w", base: base, payloads[1]),
                    change(n + 2, op, "choices", "c", base: base, payloads[2]),
                    change(n + 3, op, "steps", id("b1"), base: base, op == "DELETE" ? nil : "{}"),
                ].joined(separator: ",")
            }
            for (n, (op, base)) in [("INSERT", 0), ("UPDATE", 1), ("DELETE", 2), ("INSERT", 3)]
                .enumerated()
            {
                let applied = Array(repeating: "applied \(base + 1)", count: 4)
                #expect(
                    try await database.outcomes("ann", round(10 * n + 1, op, base, "\(n)"))
                        == applied)
            }
            #expect(
                try await database.value(
                    """
                    SELECT concat_ws(' ', t.title, t.state, w.label, c.value)
                    FROM s.tasks t, s.words w, s.choices c
                    """) == "3 open 3 3")
            // What the table has stored reaches the device: it has a default.
            #expect(
                try await database.download("ann").first { $0.table == "tasks" && $0.version == 4 }?
                    .payload?["state"] == "open")
            // Another user's rows stay what they are, and hers.
            let bob = try await database.outcomes("bob", round(1, "INSERT", 0, "x"))
            #expect(
                bob == ["invalid key_taken", "invalid key_taken", "applied 1", "invalid key_taken"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A policy that asks for a role takes rows from tokens that have it")
    func ofRole() async throws {
        let policies = """
            CREATE POLICY see ON s.tasks FOR SELECT USING (true);
            CREATE POLICY add ON s.tasks FOR INSERT WITH CHECK (s.has_role('editor'));
            CREATE POLICY edit ON s.tasks FOR UPDATE USING (s.claim('role') = 'chief');
            """
        try await Policies.with(policies) { database in
            func line(_ roles: [String], _ change: String) async throws -> [String] {
                try await database.upload("ann", roles: roles, change).outcomes.map(\.line)
            }
            let insert = Self.task(1, "INSERT", "a1", #"{"title":"x"}"#)
            let nobody = try await line([], insert)
            #expect(nobody == [Policies.rejected])
            #expect(try await line(["reader"], insert) == [Policies.rejected])
            #expect(try await line(["reader", "editor"], insert) == ["applied 1"])
            let edit = Self.task(2, "UPDATE", "a1", base: 1, #"{"title":"y"}"#)
            #expect(try await line(["editor"], edit) == [Policies.hidden])
            // One of several roles is nobody's role.
            #expect(try await line(["chief", "editor"], edit) == [Policies.hidden])
            #expect(try await line(["chief"], edit) == ["applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Where devices may only insert, inserts are applied, and nothing else is")
    func insertOnly() async throws {
        let policies = """
            CREATE POLICY add ON s.tasks FOR INSERT WITH CHECK (owner = s.claim('sub'));
            CREATE POLICY add ON s.words FOR INSERT WITH CHECK (length(label) < 5);
            CREATE POLICY add ON s.choices FOR INSERT WITH CHECK (value <> 'no');
            """
        try await Policies.with(policies) { database in
            let inserts = try await database.outcomes(
                "ann", Self.task(1, "INSERT", "a1", #"{"title":"x","hours":1.005}"#),
                change(2, "INSERT", "words", "w", #"{"label":"good"}"#),
                change(3, "INSERT", "words", "v", #"{"label":"too long"}"#),
                change(4, "INSERT", "choices", "c", #"{"value":"yes"}"#),
                change(5, "INSERT", "choices", "d", #"{"value":"no"}"#),
                change(6, "INSERT", "steps", id("b1"), #"{"task":"\#(id("a1"))"}"#))
            let applied = "applied 1"
            #expect(
                inserts == [
                    applied, applied, Policies.rejected, applied, Policies.rejected, applied,
                ])
            // The log has what is stored, although nobody may read it there.
            let task = try await database.download("ann").first { $0.table == "tasks" }
            #expect(task?.payload?["hours"] == "1.01" && task?.payload?["state"] == "open")
            let others = try await database.outcomes(
                "ann", Self.task(11, "UPDATE", "a1", base: 1, #"{"title":"y"}"#),
                change(12, "UPDATE", "words", "w", base: 1, #"{"label":"new"}"#),
                change(13, "DELETE", "choices", "c", base: 1))
            #expect(others == Array(repeating: Policies.hidden, count: 3))
            // A parent that is hidden is there.
            #expect(
                try await database.outcomes(
                    "ann", change(14, "INSERT", "steps", id("b2"), #"{"task":"\#(id("a1"))"}"#),
                    change(15, "INSERT", "steps", id("b3"), #"{"task":"\#(id("a9"))"}"#))
                    == [applied, "invalid fk_missing s.tasks:\(id("a9"))"])
            #expect(
                try await database.value("SELECT string_agg(title, ',') FROM s.tasks") == "x")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A trigger deletes the row that devices may only insert: the row is applied, and gone")
    func inbox() async throws {
        let policies = """
            CREATE POLICY add ON s.tasks FOR INSERT WITH CHECK (owner = s.claim('sub'));
            CREATE FUNCTION s.take() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF NEW.title = 'veto' THEN RETURN NULL; END IF;
                IF TG_WHEN = 'AFTER' THEN DELETE FROM s.tasks WHERE id = NEW.id; END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER veto BEFORE INSERT ON s.tasks FOR EACH ROW EXECUTE FUNCTION s.take();
            CREATE TRIGGER take AFTER INSERT ON s.tasks
                FOR EACH ROW WHEN (NEW.title = 'take') EXECUTE FUNCTION s.take();
            """
        try await Policies.with(policies) { database in
            let outcomes = try await database.outcomes(
                "ann", Self.task(1, "INSERT", "a1", #"{"title":"take"}"#),
                Self.task(2, "INSERT", "a2", #"{"title":"veto"}"#),
                Self.task(3, "INSERT", "a3", #"{"title":"keep"}"#))
            #expect(outcomes == ["applied 1", Policies.hidden, "applied 1"])
            #expect(
                try await database.value("SELECT string_agg(title, ',') FROM s.tasks") == "keep")
            let feed = try await database.feed("ann")
            #expect(feed.last { $0.contains(" a1 ") } == "D tasks a1 2")
            #expect(feed.last { $0.contains(" a3 ") } == "I tasks a3 1")
            #expect(try await database.verify().0 == [])
        }
    }

    /// Each hides a row whose state is `locked`, from reads or from one kind of write.
    static let hiding: [(policies: String, update: String, delete: String)] = [
        (
            "CREATE POLICY p ON s.tasks USING (state <> 'locked') WITH CHECK (true);",
            Policies.hidden, Policies.hidden
        ),
        (
            """
            CREATE POLICY p ON s.tasks USING (true);
            CREATE POLICY q ON s.tasks AS RESTRICTIVE FOR UPDATE USING (state <> 'locked');
            """, Policies.hidden, "applied 2"
        ),
        (
            """
            CREATE POLICY p ON s.tasks USING (true);
            CREATE POLICY q ON s.tasks AS RESTRICTIVE FOR DELETE USING (state <> 'locked');
            """, "applied 2", Policies.hidden
        ),
        (
            """
            CREATE POLICY a ON s.tasks FOR INSERT WITH CHECK (true);
            CREATE POLICY b ON s.tasks FOR UPDATE USING (true);
            CREATE POLICY c ON s.tasks FOR DELETE USING (true);
            CREATE POLICY d ON s.tasks FOR SELECT USING (state <> 'locked');
            """, Policies.hidden, Policies.hidden
        ),
    ]

    @Test(
        "A row that a policy hides from an update or delete is refused, and its neighbours are not",
        arguments: hiding.indices)
    func hidden(_ index: Int) async throws {
        let wanted = Self.hiding[index]
        try await Policies.with(wanted.policies) { database in
            let inserts = (1...6).map { Self.task($0, "INSERT", "a\($0)", "{}") }
            try await database.upload("ann", inserts.joined(separator: ","))
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.tasks SET state = 'locked' WHERE id IN ('\(id("a2"))', '\(id("a5"))');
                DELETE FROM s.tasks WHERE id = '\(id("a4"))';
                RESET session_replication_role
                """)
            let updates = try await database.upload(
                "ann", Self.task(11, "UPDATE", "a1", base: 1, #"{"title":"new"}"#),
                Self.task(12, "UPDATE", "a2", base: 1, #"{"title":"new"}"#),
                Self.task(13, "UPDATE", "a3", base: 1, #"{"title":"new"}"#))
            #expect(updates.outcomes.map(\.line) == ["applied 2", wanted.update, "applied 2"])
            if wanted.update == Policies.hidden {
                #expect(
                    updates.outcomes[1].told
                        == "s.tasks refused the row: SQLSTATE OV004 (hidden by "
                        + "a row-level security policy, or left out by a trigger)")
                #expect(updates.blockedTables == [:])
            }
            // a4 has gone, which is another thing than hidden.
            let deletes = try await database.outcomes(
                "ann", Self.task(21, "DELETE", "a4", base: 1),
                Self.task(22, "DELETE", "a5", base: 1),
                Self.task(23, "DELETE", "a6", base: 1))
            #expect(deletes == ["applied 2", wanted.delete, "applied 2"])
            let left = try await database.value(
                """
                SELECT string_agg(right(id::text, 1) || coalesce(title, ''), ' ' ORDER BY id)
                FROM s.tasks
                """
            )
            let second = wanted.update == Policies.hidden ? "2" : "2new"
            #expect(left == "1new \(second) 3new" + (wanted.delete == Policies.hidden ? " 5" : ""))
            let states = try await database.value(
                """
                SELECT string_agg(version || left(deleted::text, 1), ' ' ORDER BY key)
                FROM sync.row_state
                WHERE key IN (uuid_send('\(id("a2"))'), uuid_send('\(id("a5"))'))
                """)
            func state(_ outcome: String, _ after: String) -> String {
                outcome == Policies.hidden ? "1f" : after
            }
            #expect(states == "\(state(wanted.update, "2f")) \(state(wanted.delete, "2t"))")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM sync.materialize_failures WHERE sqlstate = 'OV004'")
                    == "\([wanted.update, wanted.delete].count { $0 == Policies.hidden })")
        }
    }

    @Test(
        "An edit inserts a row that had gone, takes over one that is there, and misses a hidden one"
    )
    func whateverIsThere() async throws {
        let policies = """
            CREATE POLICY p ON s.tasks USING (owner = s.claim('sub') AND state <> 'locked')
                WITH CHECK (owner = s.claim('sub'));
            """
        try await Policies.with(policies) { database in
            try await database.upload(
                "ann",
                (1...3).map { Self.task($0, "INSERT", "a\($0)", "{}") }.joined(separator: ","))
            try await database.execute(
                """
                SET session_replication_role = replica;
                DELETE FROM s.tasks WHERE id = '\(id("a1"))';
                UPDATE s.tasks SET state = 'locked' WHERE id = '\(id("a2"))';
                INSERT INTO s.tasks (id, owner, state) VALUES ('\(id("a4"))', 'ann', 'open'),
                    ('\(id("a5"))', 'ann', 'locked'), ('\(id("a6"))', 'bob', 'open');
                RESET session_replication_role
                """)
            let outcomes = try await database.outcomes(
                "ann", Self.task(11, "UPDATE", "a1", base: 1, #"{"title":"new"}"#),
                Self.task(12, "UPDATE", "a2", base: 1, #"{"title":"new"}"#),
                Self.task(13, "UPDATE", "a3", base: 1, #"{"title":"new"}"#),
                Self.task(14, "INSERT", "a4", #"{"title":"new"}"#),
                Self.task(15, "INSERT", "a5", #"{"title":"new"}"#),
                Self.task(16, "INSERT", "a6", #"{"title":"new"}"#))
            #expect(
                outcomes == [
                    "applied 2", Policies.hidden, "applied 2", "applied 1", Policies.hidden,
                    "invalid key_taken",
                ])
            #expect(
                try await database.value(
                    """
                    SELECT string_agg(right(id::text, 1) || coalesce(title, '') || state, ' '
                        ORDER BY id) FROM s.tasks
                    """) == "1newopen 2locked 3newopen 4newopen 5locked 6open")
        }
    }

    @Test("A rejected row says whose policy it was, also that of a table which a trigger writes")
    func named() async throws {
        let policies =
            Policies.ofOwner + """
                CREATE POLICY short ON s.tasks AS RESTRICTIVE WITH CHECK (length(title) < 5);
                CREATE TABLE s.audit (title text);
                GRANT INSERT ON s.audit TO oversync_upload;
                ALTER TABLE s.audit ENABLE ROW LEVEL SECURITY;
                CREATE POLICY words ON s.audit FOR INSERT
                WITH CHECK (title <> 'bad' AND s.claim('sub') = 'ann');
                CREATE FUNCTION s.audit() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO s.audit VALUES (NEW.title); RETURN NEW; END $$;
                CREATE TRIGGER audit AFTER INSERT ON s.tasks
                FOR EACH ROW EXECUTE FUNCTION s.audit();
                """
        try await Policies.with(policies) { database in
            let result = try await database.upload(
                "ann", Self.task(1, "INSERT", "a1", #"{"title":"too long"}"#),
                Self.task(2, "INSERT", "a2", #"{"title":"bad"}"#),
                Self.task(3, "INSERT", "a3", #"{"title":"good"}"#))
            let start = "s.tasks refused the row: SQLSTATE 42501 (insufficient privilege, "
            #expect(
                result.outcomes.map(\.told) == [
                    #"\#(start)policy "short" of table "tasks")"#,
                    #"\#(start)a policy of table "audit")"#, nil,
                ])
            #expect(result.blockedTables == [:])
        }
    }

    @Test(
        "Rows of other tables in the same upload are applied; an atomic upload is not, as a whole")
    func mixed() async throws {
        let policies =
            Policies.ofOwner
            + "CREATE POLICY q ON s.tasks AS RESTRICTIVE WITH CHECK (title <> 'no');"
        try await Policies.with(policies) { database in
            let changes = (0..<30).map { n in
                let title = n % 7 == 3 ? "no" : "yes"
                return Self.task(2 * n + 1, "INSERT", "\(1000 + n)", #"{"title":"\#(title)"}"#)
                    + ","
                    + change(2 * n + 2, "INSERT", "notes", id("\(2000 + n)"), #"{"title":"x"}"#)
            }.joined(separator: ",")
            let atomic = try await database.upload("ann", atomic: true, changes)
            #expect(atomic.outcomes.allSatisfy { !$0.line.hasPrefix("applied") })
            #expect(try await database.value("SELECT count(*)::text FROM sync.change_log") == "0")
            #expect(try await database.value("SELECT count(*)::text FROM s.tasks") == "0")
            let lines = try await database.outcomes("ann", changes)
            for n in 0..<30 {
                let task = n % 7 == 3 ? Policies.rejected : "applied 1"
                #expect(lines[2 * n] == task && lines[2 * n + 1] == "applied 1")
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Users exchange unique values under policies, and rows that are rejected stay out of it")
    func sets() async throws {
        let policies =
            Policies.ofOwner + """
                ALTER TABLE s.tasks ADD place int, ADD UNIQUE (owner, place);
                """
        try await Policies.with(policies) { database in
            let inserts = (1...3).map { Self.task($0, "INSERT", "a\($0)", #"{"place":\#($0)}"#) }
            #expect(
                try await database.outcomes("ann", inserts.joined(separator: ","))
                    == Array(repeating: "applied 1", count: 3))
            let moves = (1...3).map { n in
                Self.task(10 + n, "UPDATE", "a\(n)", base: 1, #"{"place":\#(n % 3 + 1)}"#)
            }
            let moved = try await database.outcomes("ann", moves.joined(separator: ","))
            #expect(moved == Array(repeating: "applied 2", count: 3))
            #expect(
                try await database.value(
                    "SELECT string_agg(place::text, '' ORDER BY id) FROM s.tasks")
                    == "231")
            #expect(try await database.verify().0 == [])
        }
    }
}
