import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Telemetry
import Testing

@testable import DownloadService
@testable import UploadService

@Suite("Tables that open and close to a caller")
struct TableRightsTests {
    private static let tables = """
        CREATE TABLE s.tills (id uuid PRIMARY KEY, owner text, n int);
        CREATE TABLE s.audits (id uuid PRIMARY KEY, owner text, n int);
        """

    private static let yaml = """
          - table: s.tills
            owner: owner
            read: [staff, {user: "eva*"}]
            write: [{role: staff, device: "till-*"}, {user: eva}]
          - {table: s.audits, owner: owner, read: [auditor]}
        """

    /// The same with other readers of `s.audits`.
    private static func register(
        audits: String, _ database: SyncedDatabase
    ) async throws {
        let more = try RegistrationFile.parse(
            "tables:\n" + yaml.replacing("[auditor]", with: audits))
        try await Registration.apply(SyncedDatabase.registrations + more, on: database.sql)
    }

    private static func names(_ reply: RPCReply<PullChangesReply>) throws -> [String] {
        let object = try JSONSerialization.jsonObject(with: Data(reply.body.readableBytesView))
        let changes = (object as? [String: Any])?["changes"] as? [[String: Any]] ?? []
        return changes.map { $0["table"] as? String ?? "?" }
    }

    private static func context(
        _ user: String = "ann", device: String = "reader", roles: [String] = []
    ) -> CallContext {
        CallContext(
            requestID: "t", deadline: .now + .seconds(60),
            caller: CallerIdentity(user: user, device: device, roles: roles))
    }

    @Test("Users and devices are let in by patterns, beside roles")
    func patterns() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            func upload(
                _ number: Int, _ user: String, _ device: String, _ roles: [String] = []
            ) async throws -> String {
                let result = try await database.upload(
                    user, device: device, roles: roles,
                    change(number, "INSERT", "tills", id("\(number)"), #"{"n":1}"#))
                return result.outcomes.map(\.line).joined()
            }
            let (yes, no) = ("applied 1", "invalid forbidden_table")
            #expect(try await upload(1, "ann", "till-1", ["staff"]) == yes)
            #expect(try await upload(2, "ann", "till-1") == no)
            #expect(try await upload(3, "ann", "phone", ["staff"]) == no)
            #expect(try await upload(4, "eva", "phone") == yes)
            // Who may read need not write.
            #expect(try await upload(5, "eva2", "phone") == no)
            let open = try await database.pull("ann", roles: ["staff"])
            #expect(try Self.names(open) == ["tills"])
            #expect(try Self.names(try await database.pull("eva")) == ["tills"])
            let closed = try await database.pull("ann", device: "till-1")
            #expect(try Self.names(closed).isEmpty && closed.message.nextAfter == 1)
            // A registration that says the same again changes nothing.
            let before = try await database.value(
                "SELECT xmin::text FROM sync.catalog WHERE table_name = 'tills'")
            try await Self.register(audits: "[auditor]", database)
            #expect(
                try await database.value(
                    "SELECT xmin::text FROM sync.catalog WHERE table_name = 'tills'")
                    == before)
        }
    }

    @Test("Capabilities, bootstrap and pages tell one fingerprint, to those who ask")
    func fingerprint() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let capabilities = ReadCapabilities(source: database.source, limits: .init())
            let bootstrap = ReadBootstrap(pool: database.downloadPool, source: database.source)
            func told(_ roles: [String]) async throws -> Set<String> {
                let context = Self.context(roles: roles)
                var asked = ReadBootstrapRequest()
                asked.readable = "unknown"
                let page = try await database.pull("ann", roles: roles) { $0.readable = "unknown" }
                return [
                    try await capabilities(context, readable: "unknown").message.readable,
                    try await bootstrap(asked, context).message.readable, page.message.readable,
                ]
            }
            let (none, staff) = (try await told([]), try await told(["staff"]))
            #expect(none.count == 1 && staff.count == 1 && none != staff)
            #expect(try await told(["x", "y"]) == none)
            let listed = try await capabilities(Self.context(), readable: "unknown").message
            #expect(
                listed.readableTables == ["s.items", "s.links", "s.notes", "s.prefs", "s.tags"])
            // A table that is closed is there, also one that is not registered any more.
            try await Registration.apply(
                SyncedDatabase.registrations.filter { $0.name.table != "tags" }
                    + RegistrationFile.parse("tables:\n" + Self.yaml), on: database.sql)
            _ = try await database.source.refresh()
            let asked = ["tags", "audits", "nothing"].map { TableName(schema: "s", table: $0) }
            let absent = try await capabilities(
                Self.context(), readable: "unknown", asked: asked
            ).message
            #expect(absent.unregistered == ["nothing"])
            #expect(absent.readableTables.contains("s.tags"))
            #expect(!absent.tables.contains { $0.table == "tags" })
            // Older clients hear nothing.
            #expect(try await capabilities(Self.context()).message.readable.isEmpty)
            #expect(try await bootstrap(.init(), Self.context()).message.readable.isEmpty)
            #expect(try await database.pull("ann").message.readable.isEmpty)
        }
    }

    @Test("A replica with an older catalog reads it anew for a device that was told of a newer one")
    func older() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", roles: ["auditor"],
                change(1, "INSERT", "audits", id("1"), "{}"))
            let before = try await database.pull("ann") { $0.readable = "unknown" }
            #expect(try Self.names(before).isEmpty)
            // Another replica knows it; this one has not looked yet.
            try await Self.register(audits: "[{user: ann}]", database)
            let newer = CatalogSource(pool: database.pool, logger: SyncedDatabase.logger)
            let fresh = try await newer.catalog().readableTables(
                to: Caller(user: "ann", device: .init("reader"), roles: []))
            #expect(fresh.fingerprint != before.message.readable)
            // What the device says is what this replica would say: it need not look.
            let same = try await database.pull("ann") {
                $0.readable = before.message.readable
            }
            #expect(try Self.names(same).isEmpty)
            #expect(same.message.readable == before.message.readable)
            let after = try await database.pull("ann") { $0.readable = fresh.fingerprint }
            #expect(try Self.names(after) == ["audits"])
            #expect(after.message.readable == fresh.fingerprint)
        }
    }

    @Test("However many devices are told otherwise, the catalog is read once a second")
    func pace() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let began = ContinuousClock.now
            let generation = try await database.source.catalog().generation
            let before = database.source.readings
            try await withThrowingTaskGroup(of: String.self) { group in
                for number in 0..<40 {
                    group.addTask {
                        let caller = Caller(
                            user: .init("user-\(number)"), device: .init("reader"), roles: [])
                        return try await database.source.catalog(
                            for: caller, told: "0123456789abcdef", by: .now + .seconds(20)
                        ).readableTables(to: caller).fingerprint
                    }
                }
                let told = try await group.reduce(into: Set<String>()) { $0.insert($1) }
                #expect(told.count == 1)
            }
            // One at once, and one for each second that has begun since.
            let readings = database.source.readings - before
            let seconds = Int((ContinuousClock.now - began).components.seconds)
            #expect((1...(seconds + 2)).contains(readings), "\(readings) in \(seconds) s")
            #expect(try await database.source.catalog().generation == generation)
        }
    }

    @Test(
        "Many devices of a user wait for the catalog at once, a few requests of each; others go on",
        arguments: [true, false])
    func waiting(isOneDevice: Bool) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let source = database.source
            _ = try await source.catalog()
            @Sendable func read(_ user: UserID, _ number: Int) async throws {
                let device = DeviceID(isOneDevice ? "phone" : "d\(number)")
                let caller = Caller(user: user, device: device, roles: [])
                _ = try await source.catalog(
                    for: caller, told: "0123456789abcdef", by: .now + .seconds(20))
            }
            try await database.execute("BEGIN; LOCK TABLE sync.catalog")
            let most =
                isOneDevice ? CatalogSource.waitingPerDevice : CatalogSource.waitingPerUser
            try await withThrowingTaskGroup(of: Bool.self) { group in
                func add(_ user: UserID, _ number: Int) {
                    group.addTask {
                        do { try await read(user, number) } catch let error as PostgresError {
                            #expect(error.kind == .poolExhausted)
                            return false
                        }
                        return true
                    }
                }
                for number in 0...most { add("ann", number) }
                // Nobody is answered before the table can be read, except the one too many.
                #expect(try await group.next() == false)
                add("eva", 0)
                try await database.execute("COMMIT")
                var answered = 0
                for try await isAnswered in group where isAnswered { answered += 1 }
                #expect(answered == most + 1)
            }
            // They have given their places back.
            try await read("ann", 0)
        }
    }

    @Test("A page of some tables has their rows alone, of those that the caller may read")
    func tables() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", device: "till-1", roles: ["staff", "auditor"],
                change(1, "INSERT", "notes", id("1"), "{}"),
                change(2, "INSERT", "tills", id("2"), #"{"n":1}"#),
                change(3, "INSERT", "tags", "a", "{}"),
                change(4, "INSERT", "audits", id("4"), "{}"))
            func pull(_ names: [String], _ roles: [String] = []) async throws -> [String] {
                let page = try await database.pull("ann", roles: roles) { $0.tables = names }
                #expect(page.message.nextAfter == 4)
                return try Self.names(page)
            }
            #expect(try await pull(["notes", "tags"]) == ["notes", "tags"])
            #expect(try await pull(["tills"]) == [])
            #expect(try await pull(["tills", "audits"], ["staff"]) == ["tills"])
            #expect(try await pull(["nothing"]) == [])
        }
    }

    @Test("Digests and rows by key have nothing of a table that the caller may not read")
    func digests() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", roles: ["auditor"], change(1, "INSERT", "audits", id("1"), "{}"))
            #expect(try await database.sums("ann", roles: ["auditor"]).count == 1)
            let whole = String(buffer: try await database.digest("ann").body)
            #expect(whole.contains("notes") && !whole.contains("audits"))
            let found = try await database.rows(
                "ann", roles: ["auditor"], table: "audits", [id("1")])
            #expect(try Self.names(found) == ["audits"])
            let refused = await #expect(throws: RPCFailure.self) {
                try await database.rows("ann", table: "audits", [id("1")])
            }
            #expect(refused?.code == "invalid_request")
        }
    }

    @Test("A watch of other tables is refused, and one that is open ends")
    func watch() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let watch = WatchHead(
                reader: database.reader, heads: database.heads,
                metrics: DownloadMetrics(MetricsRegistry()), logger: SyncedDatabase.logger)
            @Sendable func end(
                _ told: String, _ tell: @Sendable (Sequence64) -> Void = { _ in }
            ) async -> String? {
                var asked = WatchHeadRequest()
                asked.readable = told
                do {
                    try await watch.follow(asked, Self.context()) { tell($0) }
                    return nil
                } catch { return (error as? RPCFailure)?.code ?? "\(error)" }
            }
            try await database.upload("ann", change(1, "INSERT", "notes", id("1"), "{}"))
            #expect(await end("0123456789abcdef") == "tables_changed")
            let told = try await database.pull("ann") { $0.readable = "unknown" }.message.readable
            let (heads, parts) = AsyncStream<Sequence64>.makeStream()
            async let code = end(told) { _ = parts.yield($0) }
            var iterator = heads.makeAsyncIterator()
            #expect(await iterator.next() == 1)
            while database.heads.waiting == 0 { await Task.yield() }
            try await Self.register(audits: "[{user: ann}]", database)
            _ = try await database.reader.source.refresh()
            // What grows wakes it.
            try await database.upload("ann", change(2, "INSERT", "notes", id("2"), "{}"))
            await database.heads.poll()
            let ended = await code
            #expect(ended == "tables_changed")
        }
    }

    @Test("An administrator's retry is judged as when its device was let in, by pattern too")
    func retry() async throws {
        let tables = "CREATE TABLE s.tills (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0));"
        let yaml = "  - {table: s.tills, owner: owner, write: [{user: ann}]}"
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            let result = try await database.upload(
                "ann", change(1, "INSERT", "tills", id("1"), #"{"n":-1}"#))
            #expect(result.outcomes.map(\.line).joined().hasPrefix("materialize_error"))
            try await database.execute("ALTER TABLE s.tills DROP CONSTRAINT tills_n_check")
            let store = FailureStore(pool: database.pool)
            let number = try await database.value("SELECT id::text FROM sync.materialize_failures")
            let entry = try #require(
                try await store.failure(
                    Int64(number ?? "") ?? 0, deadline: .now + .seconds(20)))
            let again = try await database.executor.retry(entry, deadline: .now + .seconds(20))
            #expect(again.outcomes.map(\.line) == ["applied 1"])
            #expect(try await database.value("SELECT n::text FROM s.tills") == "-1")
        }
    }
}
