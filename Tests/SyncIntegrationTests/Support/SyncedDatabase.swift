import DatabaseKit
@testable import DownloadService
import Foundation
import LocalPostgres
import Logging
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Telemetry
import Testing
import TestSupport
@testable import UploadService

/// A database with registered tables, written to by uploads and by plain SQL, and read as devices read it. Uploads and
/// downloads go by the roles of their services.
struct SyncedDatabase {
    /// One change as a device downloads it.
    struct Change: Equatable {
        let sequence: Int
        let table: String
        let operation: String
        let key: String
        let version: Int
        let source: String
        let payload: [String: String]?
    }

    static let tables = """
        CREATE SCHEMA s;
        CREATE TABLE s.notes (id uuid PRIMARY KEY, owner text, title text, "Big" numeric, photo bytea,
            at timestamptz, extra json);
        CREATE TABLE s.items (id uuid PRIMARY KEY, owner text, note_id uuid REFERENCES s.notes ON DELETE CASCADE,
            n int);
        CREATE TABLE s.links (id uuid PRIMARY KEY, owner text, note_id uuid REFERENCES s.notes ON DELETE SET NULL,
            n int);
        CREATE TABLE s.tags (code text PRIMARY KEY, label text);
        CREATE TABLE s.prefs (owner text, code text, value text, PRIMARY KEY (owner, code));
        """

    static let registrations = [
        TableRegistration(name: .init(schema: "s", table: "notes"), owner: "owner"),
        TableRegistration(name: .init(schema: "s", table: "items"), owner: "owner"),
        TableRegistration(name: .init(schema: "s", table: "links"), owner: "owner"),
        TableRegistration(name: .init(schema: "s", table: "tags")),
        TableRegistration(name: .init(schema: "s", table: "prefs"), key: "code", owner: "owner"),
    ]

    /// Partitions of all databases that do not ask for a number themselves:
    /// `OVERSYNC_TEST_PARTITIONS=4` runs each suite on tables that are split.
    static let usualPartitions =
        ProcessInfo.processInfo.environment["OVERSYNC_TEST_PARTITIONS"].flatMap { Int($0) } ?? 1

    private static func template(partitions: Int) -> DatabaseTemplate {
        DatabaseTemplate(name: "synced_\(partitions)") {
            try await prepare($0, partitions: partitions)
        }
    }

    /// Makes the tables, the sidecar and the roles.
    static func prepare(_ url: String, partitions: Int = usualPartitions) async throws {
        let connection = try await connect(url)
        defer { connection.close() }
        try await connection.execute(script: tables)
        _ = try await Migrator(connection: connection).migrate()
        _ = try await RoleInstallation(connection: connection).apply()
        try await Registration.apply(registrations, on: connection)
        try await Partitioning(count: partitions).apply(
            in: MigrationRun(on: connection), report: { _ in })
    }

    let url: String
    let sql: PostgresConnection
    let source: CatalogSource
    let executor: UploadExecutor
    let turns: PageTurns
    let reader: PageReader
    /// Upload's.
    let pool: PostgresPool
    let downloadPool: PostgresPool
    /// What a replica of Download knows; it polls only when a test tells it to.
    let heads: ScopeHeads

    /// - Parameters:
    ///   - script: tables in addition to the usual ones.
    ///   - yaml: their entries in `oversync.yaml`.
    ///   - statementTimeout: of uploads, in milliseconds.
    ///   - settings: of the upload service, by key.
    ///   - partitions: of the log and the states of rows.
    static func with(
        tables script: String = "", registered yaml: String = "", statementTimeout: Int? = nil,
        settings: [String: String] = [:], partitions: Int = usualPartitions,
        _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.withDatabase(template: template(partitions: partitions)) { url in
            let connection = try await connect(url)
            defer { connection.close() }
            if !yaml.isEmpty {
                try await connection.execute(script: script)
                let more = try RegistrationFile.parse("tables:\n\(yaml)")
                try await Registration.apply(registrations + more, on: connection)
            }
            var settings = settings
            if let statementTimeout {
                settings[UploadTimeouts.statementSetting.key] = "\(statementTimeout)"
            }
            try await body(
                try SyncedDatabase(
                    url, connection, reaching: PostgresConfiguration(url: url), settings))
        }
    }

    /// - Parameter configuration: how the services reach the database.
    init(
        _ url: String, _ connection: PostgresConnection,
        reaching configuration: PostgresConfiguration, isPooled: Bool = false,
        _ settings: [String: String] = [:]
    ) throws {
        self.url = url
        sql = connection
        func pool(_ purpose: ServiceRole) throws -> PostgresPool {
            var configuration = configuration
            configuration.keywords["user"] = purpose.defaultName
            configuration.serve(isPooled: isPooled)
            return PostgresPool(configuration, pool: try PoolConfiguration(), logger: Self.logger)
        }
        self.pool = try pool(.upload)
        downloadPool = try pool(.download)
        source = CatalogSource(pool: self.pool, logger: Self.logger)
        // A machine that is busy with other tests is slow.
        let patient = [UploadTimeouts.groupSetting.key: "600"]
        let configuration = Configuration(environment: patient.merging(settings) { $1 })
        executor = try UploadExecutor(
            pool: self.pool, source: source, limits: .init(), configuration)
        turns = try PageTurns(configuration)
        reader = PageReader(
            pool: downloadPool, source: CatalogSource(pool: downloadPool, logger: Self.logger))
        heads = ScopeHeads(pool: downloadPool, logger: Self.logger)
    }

    /// Calls `body` with the same database for services that reach it through a proxy.
    ///
    /// - Parameters:
    ///   - text: what the proxy holds back, `times` times; nil holds nothing.
    ///   - settings: of the upload service, by key.
    func throughProxy(
        holding text: String? = nil, times: Int = 0, settings: [String: String] = [:],
        _ body: @Sendable @escaping (PostgresProxy, SyncedDatabase) async throws -> Void
    ) async throws {
        let direct = try PostgresConfiguration(url: url)
        let server = try #require(direct.keywords["host"])
        try await PostgresProxy.with(server: server, holding: text, times: times) { proxy in
            var configuration = direct
            configuration.keywords["host"] = proxy.directory
            try await body(
                proxy, try SyncedDatabase(url, sql, reaching: configuration, settings))
        }
    }

    /// Calls `body` with the same database for services that reach it through a pgbouncer.
    ///
    /// - Parameter roles: who may connect in addition to the services.
    func throughPgBouncer(
        _ mode: LocalPgBouncer.PoolMode, roles: [String] = [],
        _ body: (PostgresConfiguration, SyncedDatabase) async throws -> Void
    ) async throws {
        var configuration = try PostgresConfiguration(url: url)
        let pgbouncer = try await LocalPgBouncer(
            before: try #require(configuration.keywords["host"]), mode: mode,
            roles: roles + ServiceRole.allCases.map(\.defaultName))
        configuration.keywords["host"] = pgbouncer.host
        configuration.keywords["port"] = "\(pgbouncer.port)"
        let outcome: Result<Void, any Error>
        do {
            let database = try SyncedDatabase(
                url, sql, reaching: configuration, isPooled: mode != .session, [:])
            outcome = .success(try await body(configuration, database))
        } catch {
            outcome = .failure(error)
        }
        await pgbouncer.stop()
        try outcome.get()
    }

    static func connect(_ url: String) async throws -> PostgresConnection {
        try await PostgresConnection.connect(PostgresConfiguration(url: url), logger: logger)
    }

    /// What devices ask for, unless a test says otherwise.
    static let keyKinds = KeyKind.allCases.filter(\.mustBeAskedFor).map(\.rawValue)

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    func execute(_ script: String) async throws { try await sql.execute(script: script) }

    /// Changes as the wire has them, without the brackets around the list.
    @discardableResult
    func upload(
        _ user: String, device: String = "phone", roles: [String] = [], atomic: Bool = false,
        epoch: String? = nil, keyKinds: [String] = Self.keyKinds, _ changes: String...
    ) async throws -> UploadResult {
        try await executor.upload(
            ByteBuffer(string: #"{"changes":[\#(changes.joined(separator: ","))]}"#),
            from: CallerIdentity(user: user, device: device, roles: roles, keyKinds: keyKinds),
            UploadOptions(isAtomic: atomic, epoch: epoch),
            deadline: .now + .seconds(30)
        ).result
    }

    /// Uploads and answers with a line for each change.
    func outcomes(
        _ user: String, device: String = "phone", atomic: Bool = false, _ changes: String...
    ) async throws -> [String] {
        try await upload(
            user, device: device, atomic: atomic, changes.joined(separator: ",")
        ).outcomes.map(\.line)
    }

    /// One value of one row, as text; `NULL` for null, nil if there is no row.
    func value(_ query: String) async throws -> String? {
        let result = try await sql.run(
            Command(Statement(name: "value_\(query.hashValue)", sql: query)))
        guard result.rowCount > 0 else { return nil }
        return try result.optionalString(0, 0) ?? "NULL"
    }

    /// Everything a new device of the user gets.
    func download(_ user: String, after: Int = 0) async throws -> [Change] {
        var request = PullChangesRequest()
        request.after = Int64(after)
        request.limit = 1000
        request.includeSelf = true
        let page = try await read(request, user: user, device: "reader")
        let body =
            try JSONSerialization.jsonObject(with: Data(page.body.readableBytesView))
            as? [String: Any]
        return (body?["changes"] as? [[String: Any]] ?? []).map { change in
            Change(
                sequence: change["server_id"] as? Int ?? 0, table: change["table"] as? String ?? "",
                operation: change["op"] as? String ?? "", key: change["pk"] as? String ?? "",
                version: change["server_version"] as? Int ?? 0,
                source: change["source_id"] as? String ?? "?",
                payload: (change["payload"] as? [String: Any])?.mapValues { "\($0)" })
        }
    }

    /// A download as the service serves it.
    func pull(
        _ user: String, device: String = "reader", roles: [String] = [],
        keyKinds: [String] = Self.keyKinds, hydrations: (any HydrationNotes)? = nil,
        metrics: DownloadMetrics = DownloadMetrics(MetricsRegistry()),
        _ fill: (inout PullChangesRequest) -> Void = { _ in }
    ) async throws -> RPCReply<PullChangesReply> {
        var request = PullChangesRequest()
        request.limit = 1000
        fill(&request)
        let pull = PullChanges(
            reader: reader, turns: turns, heads: heads,
            hydrations: hydrations ?? DirectHydrationNotes(pool: pool), limits: .init(),
            metrics: metrics, logger: Self.logger)
        return try await pull(
            request, ByteBuffer(),
            CallContext(
                requestID: "test", deadline: .now + .seconds(60),
                caller: CallerIdentity(
                    user: user, device: device, roles: roles, keyKinds: keyKinds)))
    }

    func read(
        _ request: PullChangesRequest, user: String, device: String
    ) async throws -> Page {
        try await reader.read(
            PageRequest(
                request, user: .init(user), device: .init(device),
                keyKinds: Set(KeyKind.allCases), limits: .init()),
            deadline: .now + .seconds(30))
    }

    /// Comes back when at least this many statements wait for a lock.
    ///
    /// - Parameter connection: asks with it; nil asks with `sql`.
    func expectWaiting(_ count: Int, asking connection: PostgresConnection? = nil) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        let command = Command(
            Statement(
                name: "waiting",
                sql: """
                    SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'
                    """))
        while try await (connection ?? sql).run(command).int64(0, 0) < count {
            try #require(.now < deadline, "not so many wait for a lock")
        }
    }

    /// A short form for comparisons: `I notes a1 1`, with only the last digits of a key.
    func feed(_ user: String, after: Int = 0) async throws -> [String] {
        try await download(user, after: after).map {
            "\($0.operation.prefix(1)) \($0.table) \($0.key.suffix(2)) \($0.version)"
        }
    }
}

/// Upload's handler without the socket between.
struct DirectHydrationNotes: HydrationNotes {
    let pool: PostgresPool

    func record(floor: Sequence64, _ context: CallContext) async throws(RPCFailure) {
        var request = NoteHydrationRequest()
        request.floor = floor
        do {
            _ = try await NoteHydration(pool: pool, logger: SyncedDatabase.logger)(request, context)
        } catch {
            throw error as? RPCFailure ?? .internal
        }
    }
}

/// The uuid that ends in the given digits.
func id(_ digits: String) -> String {
    "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
}

/// A change as a device sends it.
func change(
    _ id: Int, _ op: String, _ table: String, _ key: String, base: Int = 0, _ payload: String? = nil
) -> String {
    let tail = payload.map { #","payload":\#($0)"# } ?? ""
    return
        #"{"source_change_id":\#(id),"schema":"s","table":"\#(table)","op":"\#(op)","pk":"\#(key)","server_version":\#(base)\#(tail)}"#
}

extension ChangeVerdict {
    /// A short form for comparisons.
    var line: String {
        switch self {
        case .applied(let version): "applied" + (version.map { " \($0)" } ?? "")
        case .conflict(let row):
            "conflict \(row.version) by \(row.device)/\(row.changeID)"
                + (row.isDeleted
                    ? " deleted" : " " + String(decoding: row.payload ?? [], as: UTF8.self))
        case .invalid(let refusal):
            switch refusal.details {
            case .missing(let labels): "invalid fk_missing \(labels.joined(separator: " "))"
            default: "invalid \(refusal.reason.rawValue)"
            }
        case .materializeError(_, let message):
            "materialize_error "
                + (message.firstMatch(of: /SQLSTATE (\w+)/).map { String($0.1) } ?? "?")
        case .aborted: "aborted"
        }
    }
}
