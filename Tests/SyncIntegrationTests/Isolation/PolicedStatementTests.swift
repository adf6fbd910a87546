import Model
import Postgres
import Sidecar
import Testing
@testable import UploadService

/// Promise P6 where the team's policies decide about uploads: they may hide rows from a statement,
/// and let through what is another's. Neither takes the place of the statement's own confinement.
@Suite("No statement crosses from one user to another where policies decide")
struct PolicedStatementTests {
    /// Policies that let everybody do everything.
    private static let open = """
        CREATE POLICY open ON s.tasks USING (true);
        CREATE POLICY open ON s.words USING (true);
        CREATE POLICY open ON s.choices USING (true);
        """
    private static let mark = "secret-of-ann"

    private static let writes: [(MaterializeStatement.Kind, MaterializeStatement.Expectation)] = [
        (.create, .asRecorded), (.create, .anything), (.update, .asRecorded), (.update, .anything),
        (.delete, .asRecorded),
    ]

    /// Calls `body` with a database in which ann has a row of each table, and bob one as well.
    private static func withRows(
        _ policies: String, _ body: (SyncedDatabase, UploadSchema, NamedScope) async throws -> Void
    ) async throws {
        try await Policies.with(policies) { database in
            for (user, key, word) in [("ann", "a1", "ann"), ("bob", "b1", "bob")] {
                let text = user == "ann" ? mark : "mine"
                let outcomes = try await database.outcomes(
                    user, Policies.task(1, "INSERT", key, #"{"title":"\#(text)"}"#),
                    change(2, "INSERT", "words", word, #"{"label":"\#(text)"}"#),
                    change(3, "INSERT", "choices", word, #"{"value":"\#(text)"}"#))
                #expect(outcomes == Array(repeating: "applied 1", count: 3))
            }
            // As Upload reads it; the policies apply to Upload.
            let schema = UploadSchema(catalog: try await database.source.catalog())
            try #require(schema.tables.filter(\.registered.policies.isWanted).count == 3)
            let scope = Int64(
                try await database.value(
                    "SELECT scope_id::text FROM sync.scope WHERE user_id = 'bob'") ?? "")
            try await body(
                database, schema, NamedScope(id: try #require(scope), user: UserID("bob")))
        }
    }

    /// All there is of ann.
    private static func everything(_ database: SyncedDatabase) async throws -> [String?] {
        var all: [String?] = []
        let scope = "(SELECT scope_id FROM sync.scope WHERE user_id = 'ann')"
        let own = "owner = 'ann'"
        for (table, condition) in [
            ("sync.scope", "scope_id = \(scope)"), ("sync.change_log", "scope_id = \(scope)"),
            ("sync.row_state", "scope_id = \(scope)"), ("sync.key_owner", "scope_id = \(scope)"),
            ("s.tasks", own), ("s.choices", own), ("s.words", "code = 'ann'"),
        ] {
            all.append(
                try await database.value(
                    """
                    SELECT string_agg(t::text, ';' ORDER BY t::text) FROM \(table) t
                    WHERE \(condition)
                    """))
        }
        return all
    }

    /// Runs a statement as Upload does for bob.
    ///
    /// - Returns: nil if PostgreSQL refuses it.
    private static func run(
        _ command: Command, _ database: SyncedDatabase
    ) async throws -> (result: PostgresResult?, state: SQLState?) {
        var claims = Bindings()
        for _ in 0..<3 { claims.bind("30000") }
        claims.bind(
            PolicyClaims(user: UserID("bob"), device: DeviceID("phone"), roles: []).json)
        return try await database.pool.withConnection { connection in
            do {
                let results = try await connection.run([
                    Command(UploadStatements.begin),
                    Command(UploadStatements.configureWithClaims, claims), command,
                    Command(UploadStatements.commit),
                ])
                return (results[2], nil)
            } catch let error as PostgresError {
                try await connection.run(Command(UploadStatements.rollback))
                return (nil, error.sqlState)
            }
        }
    }

    private static func shows(_ result: PostgresResult?) -> Bool {
        guard let result else { return false }
        return (0..<result.rowCount).contains { row in
            (0..<result.columnCount).contains { column in
                result.withBytes(row, column) { bytes in
                    bytes.map { String(decoding: $0, as: UTF8.self).contains(mark) } ?? false
                }
            }
        }
    }

    private static func key(of table: RegisteredTable) -> String {
        table.keyKind == .uuid ? id("a1") : "ann"
    }

    private static func keys(_ table: RegisteredTable) -> ArrayBinding {
        var keys = ArrayBinding(of: table.keyKind == .uuid ? .uuid : .text)
        let key = key(of: table)
        let bytes = table.keyKind == .uuid ? Stranger.bytes(ofUUID: key) : Array(key.utf8)
        bytes.withUnsafeBytes { keys.append(bytes: $0) }
        return keys
    }

    @Test(
        "A write takes no row of another's, whether policies hide it or let everybody write",
        arguments: [Policies.ofOwner, open])
    func writes(policies: String) async throws {
        try await Self.withRows(policies) { database, schema, stranger in
            let before = try await Self.everything(database)
            #expect(before.allSatisfy { $0 != nil && $0 != "NULL" })
            let statements = BusinessStatements(schema)
            for (index, table) in schema.tables.enumerated() {
                let registered = table.registered
                guard registered.policies.isWanted else { continue }
                for (kind, rows) in Self.writes {
                    let commands = statements.writes(
                        Self.key(of: registered), of: index, kind, expecting: rows, for: stranger)
                    for command in commands {
                        let (result, state) = try await Self.run(command, database)
                        let name = "\(registered.name) \(kind) \(rows)"
                        #expect(!Self.shows(result), "\(name)")
                        // A policy's no, a key that is taken, or a row that is not the user's.
                        let taken = ["42501", "23505", RowRefusal.keyTakenState.rawValue]
                        #expect(state.map { taken.contains($0.rawValue) } ?? true, "\(name)")
                        #expect(try await Self.everything(database) == before, "\(name)")
                    }
                }
            }
        }
    }

    @Test(
        "Rows of another's count as absent, and a key of theirs as taken",
        arguments: [Policies.ofOwner, open])
    func counted(policies: String) async throws {
        try await Self.withRows(policies) { database, schema, stranger in
            let statements = BusinessStatements(schema)
            for (index, table) in schema.tables.enumerated() {
                let registered = table.registered
                guard registered.policies.isWanted else { continue }
                let present = try #require(statements.present(index))
                let (_, state) = try await Self.run(
                    Command(
                        present,
                        PresentRowsStatement.bindings(
                            Self.keys(registered), 1, stranger, of: registered)), database)
                #expect(state == RowRefusal.keyTakenState, "\(registered.name)")
                guard let use = statements.keyUse(index) else { continue }
                var bindings = Bindings()
                let key = Self.key(of: registered)
                bindings.bind(
                    bytes: registered.keyKind == .uuid
                        ? Stranger.bytes(ofUUID: key) : Array(key.utf8))
                MaterializeStatement.bind(owner: stranger, of: registered, to: &bindings)
                let (result, _) = try await Self.run(Command(use, bindings), database)
                #expect(try result?.bool(0, 0) == true, "\(registered.name)")
                #expect(!Self.shows(result))
            }
        }
    }

    @Test(
        "A parent of another's is not found, whether policies hide it or show it to everybody",
        arguments: [Policies.ofOwner, open])
    func parents(policies: String) async throws {
        try await Self.withRows(policies) { database, schema, stranger in
            let statements = BusinessStatements(schema)
            let index = try #require(
                schema.foreignKeys.firstIndex { $0.key.name == "steps_task_fkey" })
            for (key, found) in [("a1", 0), ("b1", 1)] {
                let value = ParentValue.uuid(try #require(RowKey(id(key), kind: .uuid)))
                let (result, _) = try await Self.run(
                    Command(
                        statements.parents(index),
                        ParentStatement.bindings(
                            stranger, schema.foreignKeys[index],
                            [ParentReference(foreignKey: index, values: [value])], in: schema)),
                    database)
                #expect(result?.rowCount == found, "\(key)")
            }
        }
    }

    @Test("A key that a trigger leaves out stays its owner's")
    func leftOut() async throws {
        let trigger = """
            CREATE FUNCTION s.veto() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RETURN CASE WHEN NEW.label = 'veto' THEN NULL ELSE NEW END;
            END $$;
            CREATE TRIGGER veto BEFORE INSERT ON s.words
                FOR EACH ROW EXECUTE FUNCTION s.veto();
            """
        try await Self.withRows(Self.open + trigger) { database, _, _ in
            // No unique index stands in the way of a row that is never inserted. By itself, so that
            // no other row stops the statement.
            for (n, key, label, answer) in [
                (11, "ann", "veto", "invalid key_taken"), (12, "new", "veto", Policies.hidden),
                (13, "bobs", "x", "applied 1"),
            ] {
                let insert = change(n, "INSERT", "words", key, #"{"label":"\#(label)"}"#)
                let outcomes = try await database.outcomes("bob", insert)
                #expect(outcomes == [answer], "\(key)")
            }
            #expect(
                try await database.outcomes(
                    "ann", change(11, "UPDATE", "words", "ann", base: 1, #"{"label":"new"}"#))
                    == ["applied 2"])
            #expect(
                try await database.download("bob").allSatisfy {
                    $0.table != "words" || $0.key.hasPrefix("bob")
                })
            #expect(try await database.verify().0 == [])
        }
    }
}
