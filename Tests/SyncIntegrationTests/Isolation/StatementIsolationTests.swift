@testable import AuthService
@testable import DownloadService
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Testing
@testable import UploadService

/// Promise P6, statement by statement: no statement, run for one user, shows or changes another's
/// rows.
@Suite("No statement crosses from one user to another")
struct StatementIsolationTests {
    /// What the names of generated statements begin with, in addition to the fixed ones.
    private static let generated = ["upload_parents_", "\(MaterializeStatement.namePrefix)_"]

    private static func withVictim(
        _ body: (SyncedDatabase, Victim, Stranger) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: Victim.tables, registered: Victim.yaml) { database in
            let victim = try await Victim(in: database)
            let stranger = try await Stranger(in: database)
            let everything = try await victim.everything()
            // What the tests look for is there.
            #expect(everything.allSatisfy { $0 != nil && $0 != "NULL" })
            #expect(everything.last??.contains(Victim.mark) == true)
            try await body(database, victim, stranger)
        }
    }

    @Test("Every fixed statement of every service has its attempt, and no other is sent")
    func complete() async throws {
        let attempted = Set(StatementAttempt.all.map(\.statement.name))
        let listed =
            UploadStatements.all + DownloadStatements.all + FailureStatements.all
            + AuthStatements.all + CompactionStatements.all + ForeignKeyStatements.all
            + EpochStatements.all + DeviceAdministration.all + AuditStatements.all
            + OverviewStatements.all + LeaseStatements.all + PartitionStatements.all
        #expect(Set(listed.map(\.name)).subtracting(attempted).sorted() == [])
        #expect(attempted.count == StatementAttempt.all.count)
        // Statements that no list has would be found on the services' connection.
        try await Self.withVictim { database, _, stranger in
            _ = try await database.pull(Stranger.user) { $0.includeSelf = true }
            await database.heads.poll()
            let context = CallContext(
                requestID: "t", deadline: .now + .seconds(30),
                caller: CallerIdentity(user: Stranger.user, device: Stranger.device))
            _ = try await ReadBootstrap(pool: database.downloadPool)(
                ReadBootstrapRequest(), context)
            let store = FailureStore(pool: database.pool)
            _ = try await store.failure(stranger.failure, deadline: .now + .seconds(30))
            try await store.close(
                stranger.failure, isResolved: true,
                recording: AuditEntry(
                    .retryFailure, of: "\(stranger.failure)", by: .token("root"), code: "applied"),
                deadline: .now + .seconds(30))
            var sent: Set<String> = []
            for pool in [database.pool, database.downloadPool] {
                let rows = try await pool.withConnection {
                    try await $0.run(
                        Command(
                            Statement(
                                name: "sent",
                                sql: "SELECT split_part(name, '~', 1) FROM pg_prepared_statements"))
                    )
                }
                sent.formUnion(try (0..<rows.rowCount).map { try rows.string($0, 0) })
            }
            #expect(
                sent.isSuperset(of: ["upload_write_rows", "download_whole_page", "failures_list"]))
            let unknown = sent.subtracting(attempted).filter { name in
                !Self.generated.contains { name.hasPrefix($0) } && name != "sent"
            }
            #expect(unknown.sorted() == [])
        }
    }

    @Test(
        "Run for a stranger who knows keys and devices, a fixed statement shows and changes nothing of the victim's"
    )
    func fixed() async throws {
        try await Self.withVictim { database, victim, stranger in
            let before = try await victim.everything()
            for attempt in StatementAttempt.all {
                try await Self.attempt(attempt, as: stranger, database, victim, before)
                guard case .named = attempt.confinement else { continue }
                // As a service would have it that remembers a number which was issued again.
                var mistaken = stranger
                mistaken.claimed = victim.scope
                try await Self.attempt(attempt, as: mistaken, database, victim, before)
            }
        }
    }

    private static func attempt(
        _ attempt: StatementAttempt, as stranger: Stranger, _ database: SyncedDatabase,
        _ victim: Victim, _ before: [String?]
    ) async throws {
        let name = attempt.statement.name
        if let condition = attempt.confinement.condition {
            #expect(attempt.statement.sql.contains(condition), "\(name)")
        }
        var bindings = Bindings()
        attempt.bind(&bindings, stranger)
        // Inside of a transaction PostgreSQL refuses one that chooses its level.
        let opening =
            attempt.statement.sql.hasPrefix("BEGIN ISOLATION LEVEL")
            ? [] : [Command(UploadStatements.begin), Command(UploadStatements.savepoint)]
        let results = try await database.sql.run(
            opening + [
                Command(attempt.statement, bindings), Command(UploadStatements.commit),
            ])
        #expect(!Victim.shows(in: results[opening.count]), "\(name)")
        #expect(try await victim.everything() == before, "\(name)")
    }

    @Test("What the services' own words would show of the victim is seen by this test")
    func control() async throws {
        try await Self.withVictim { database, victim, _ in
            let device = "\(Victim.mark)-phone"
            let scope = try await database.sql.run(
                Command(
                    DownloadStatements.ReadScope(
                        scope: victim.named, device: DeviceID(device),
                        names: SourceNames.alongWithPage)))
            #expect(Victim.shows(in: scope))
            var bindings = Bindings()
            bindings.bind(Victim.user)
            bindings.bind(device)
            let before = try await victim.everything()
            bindings.bind(Int64(1))
            try await database.sql.run(Command(UploadStatements.noteHydration, bindings))
            #expect(try await victim.everything() != before)
        }
    }

    @Test("The look-up of parents finds the user's own and no stranger's, over every foreign key")
    func parents() async throws {
        try await Self.withVictim { database, victim, stranger in
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let statements = BusinessStatements(schema)
            let mistaken = NamedScope(id: victim.scope, user: UserID(Stranger.user))
            #expect(schema.foreignKeys.count == 4)
            for (index, key) in schema.foreignKeys.enumerated() {
                let value = key.payloadPairs.map { pair -> ParentValue in
                    switch pair.type {
                    case .uuid: .uuid(RowKey(Victim.noteKey, kind: .uuid)!)
                    case .integer: .integer(1)
                    case .text: .text(ExactText("\(Victim.textKey)1"))
                    }
                }
                for (scope, rows) in [(victim.named, 1), (stranger.named, 0), (mistaken, 0)] {
                    let found = try await database.sql.run(
                        Command(
                            statements.parents(index),
                            ParentStatement.bindings(
                                scope, key, [ParentReference(foreignKey: index, values: value)],
                                in: schema)))
                    #expect(found.rowCount == rows, "\(key.key.name) for \(scope)")
                }
            }
        }
    }

    /// The row that a stranger aims at; a new kind of write must be added here, and to the test.
    private static func key(of table: String, _ kind: MaterializeStatement.Kind) -> String {
        let keys = ["notes": "a1", "items": "b1", "links": "d3", "labels": "f1", "refusing": "c3"]
        switch kind {
        case .create, .update, .delete:
            return keys[table].map { id($0) } ?? "\(Victim.textKey)1"
        }
    }

    @Test(
        "A write into a business table takes no row of another's, whatever its kind and its table's keys"
    )
    func writes() async throws {
        try await Self.withVictim { database, victim, stranger in
            let before = try await victim.everything()
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let statements = BusinessStatements(schema)
            // A row of every table to collide with.
            for (index, table) in schema.tables.enumerated() {
                for (kind, rows) in Self.writes {
                    let key = Self.key(of: table.registered.name.table, kind)
                    let commands = statements.writes(
                        key, of: index, kind, expecting: rows, for: stranger.named)
                    for command in commands {
                        let name = "\(table.registered.name) \(kind) \(rows)"
                        do {
                            let result = try await database.sql.run(command)
                            #expect(!Victim.shows(in: result), "\(name)")
                        } catch let error as PostgresError {
                            let isTaken = error.sqlState == RowRefusal.keyTakenState
                            #expect(isTaken, "\(name): \(error)")
                        }
                        #expect(try await victim.everything() == before, "\(name)")
                    }
                }
            }
        }
    }

    @Test("Whether a key is another's is all that a stranger learns of its row")
    func keyUse() async throws {
        try await Self.withVictim { database, victim, stranger in
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let statements = BusinessStatements(schema)
            for (index, table) in schema.tables.enumerated() {
                guard let statement = statements.keyUse(index) else { continue }
                let isUUID = table.registered.keyKind == .uuid
                for (key, isTaken) in [
                    (Self.key(of: table.registered.name.table, .create), true),
                    (isUUID ? id("ffff") : "nobody's", false),
                ] {
                    var bindings = Bindings()
                    bindings.bind(
                        bytes: isUUID ? Stranger.bytes(ofUUID: key) : Array(key.utf8))
                    MaterializeStatement.bind(
                        owner: stranger.named, of: table.registered, to: &bindings)
                    let result = try await database.sql.run(Command(statement, bindings))
                    #expect(try result.bool(0, 0) == isTaken, "\(table.registered.name) \(key)")
                    #expect(!Victim.shows(in: result))
                }
            }
        }
    }

    /// Every statement that writes business rows.
    private static let writes: [(MaterializeStatement.Kind, MaterializeStatement.Expectation)] = [
        (.create, .asRecorded), (.create, .anything), (.update, .asRecorded), (.update, .anything),
        (.delete, .asRecorded),
    ]

    @Test(
        "Captured plain SQL on one user's rows reaches no other's log, and a row that moves leaves nothing behind"
    )
    func capture() async throws {
        try await Self.withVictim { database, victim, _ in
            let before = try await victim.everything()
            for table in ["notes", "items", "links", "labels", "refusing"] {
                try await database.execute(
                    """
                    INSERT INTO s.\(table) (id, owner) VALUES ('\(id("e9"))', 'bob'), ('\(id("e8"))', NULL);
                    UPDATE s.\(table) SET owner = owner WHERE owner = 'bob';
                    UPDATE s.\(table) SET owner = 'carl' WHERE owner = 'bob';
                    DELETE FROM s.\(table) WHERE owner IS DISTINCT FROM 'ann';
                    """)
                #expect(try await victim.everything() == before, "\(table)")
            }
            try await database.execute(
                """
                INSERT INTO s.prefs VALUES ('bob', '\(Victim.textKey)1', 'mine');
                UPDATE s.prefs SET value = 'x' WHERE owner = 'bob'; DELETE FROM s.prefs WHERE owner = 'bob';
                INSERT INTO s.tags VALUES ('nobody', 'x'); UPDATE s.tags SET label = 'y' WHERE code = 'nobody';
                DELETE FROM s.tags WHERE code = 'nobody';
                """)
            #expect(try await victim.everything() == before)
            #expect(try await database.verify().0 == [])
        }
    }
}
