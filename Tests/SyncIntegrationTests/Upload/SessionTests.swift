@testable import DownloadService
import Foundation
import Logging
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Testing
import TestSupport
@testable import UploadService

@Suite("Upload and Download on a real PostgreSQL")
struct UploadOnPostgresTests {
    private static let template = DatabaseTemplate(name: "sidecar") { url in
        let connection = try await connect(url)
        defer { connection.close() }
        _ = try await Migrator(connection: connection).migrate()
        try await Registration.apply(
            [TableRegistration(name: .init(schema: "s", table: "t"), mode: .sidecar)],
            on: connection)
    }

    @Test("Every statement is one that the server can prepare, with the parameters it declares")
    func statements() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            let connection = try await Self.connect(url)
            defer { connection.close() }
            for statement in UploadStatements.all + DownloadStatements.all
                + CompactionStatements.all + ForeignKeyStatements.all + EpochStatements.all
                + DeviceAdministration.all + AuditStatements.all
                + OverviewStatements.all + LeaseStatements.all + PartitionStatements.all
            {
                let description = try await connection.describe(statement)
                #expect(description.parameters == statement.parameters, "\(statement.name)")
            }
        }
    }

    @Test("P1: a commit waits for the disk also where the database was told that it need not")
    func synchronousCommit() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            let connection = try await Self.connect(url)
            defer { connection.close() }
            let timeouts = try UploadTimeouts(Configuration(environment: [:]))
            for (configured, wanted) in [
                ("off", "on"), ("local", "on"), ("remote_apply", "remote_apply"),
            ] {
                try await connection.execute(script: "SET synchronous_commit = \(configured)")
                let results = try await connection.run([
                    Command(UploadStatements.begin),
                    Command(
                        UploadStatements.configure,
                        timeouts.bindings(
                            scopeLock: .seconds(1), left: .seconds(30))),
                    Command(Statement(name: "show", sql: "SHOW synchronous_commit")),
                    Command(UploadStatements.rollback),
                ])
                #expect(try results[2].string(0, 0) == wanted)
            }
        }
    }

    @Test(
        "Times on the wire are UTC whatever the session's time zone, as behind a transaction pooler"
    )
    func times() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            var configuration = try PostgresConfiguration(url: url)
            configuration.sessionSettings = ["TimeZone": "Asia/Kolkata"]
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let pool = PostgresPool(configuration, pool: try PoolConfiguration(), logger: logger)
            let source = CatalogSource(pool: pool, logger: logger)
            let executor = try UploadExecutor(
                pool: pool, source: source, limits: .init(), Configuration(environment: [:]))
            let deadline = ContinuousClock.now + .seconds(30)
            func upload(_ id: Int) async throws -> UploadResult {
                let change =
                    #"{"source_change_id":\#(id),"schema":"s","table":"t","op":"INSERT","#
                    + #""pk":"550e8400-e29b-41d4-a716-446655440000","payload":{"n":\#(id)}}"#
                return try await executor.upload(
                    ByteBuffer(string: #"{"changes":[\#(change)]}"#),
                    from: CallerIdentity(user: "u", device: "d\(id)"),
                    deadline: deadline
                ).result
            }
            _ = try await upload(1)
            guard case .conflict(let row) = try await upload(2).outcomes[0] else {
                Issue.record("a second insert is no conflict")
                return
            }
            let request = PageRequest(
                .init(), user: .init("u"), device: .init("other"), limits: .init())
            let page = try await PageReader(pool: pool, source: source).read(
                request, deadline: deadline)
            let body =
                try JSONSerialization.jsonObject(with: Data(page.body.readableBytesView))
                as? [String: Any]
            let changes = body?["changes"] as? [[String: Any]]
            for text in [row.timestamp, try #require(changes?.first?["ts"] as? String)] {
                let strategy = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
                let time = try Date(text, strategy: strategy)
                #expect(abs(time.timeIntervalSinceNow) < 60, "\(text)")
            }
        }
    }

    private static func connect(_ url: String) async throws -> PostgresConnection {
        try await PostgresConnection.connect(
            PostgresConfiguration(url: url),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}
