import Foundation
import LocalPostgres
import Logging
import Postgres

/// A database that is prepared once per test process and copied for each test.
package struct DatabaseTemplate: Sendable {
    package let name: String
    let prepare: @Sendable (_ url: String) async throws -> Void

    /// - Parameter prepare: gets the template's connection string and must close what it opens.
    package init(
        name: String, prepare: @escaping @Sendable (_ url: String) async throws -> Void
    ) {
        self.name = name
        self.prepare = prepare
    }
}

/// Databases for tests, in one cluster per test process that starts when it is first needed and
/// ends with the process, even a killed one.
package enum TestDatabase {
    /// True in a test that has a slot. A second database of the same test takes none: tests that
    /// each held one and waited for another would wait for each other.
    @TaskLocal private static var hasSlot = false

    /// Calls `body` with the connection string of a fresh database, and drops it afterwards.
    package static func withDatabase<Value>(
        template: DatabaseTemplate? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (_ url: String) async throws -> Value
    ) async throws -> Value {
        let takesSlot = !hasSlot
        if takesSlot { await SharedCluster.shared.takeSlot() }
        defer { if takesSlot { Task { await SharedCluster.shared.freeSlot() } } }
        let cluster = try await SharedCluster.shared.cluster()
        if let template { try await SharedCluster.shared.make(template) }
        let name = uniqueName("test")
        let source = template.map { " TEMPLATE \"\($0.name)\"" } ?? ""
        try await administer(cluster, "CREATE DATABASE \(name)\(source)")
        let outcome: Result<Value, any Error>
        do {
            let url = cluster.connectionURL(database: name)
            outcome = .success(
                try await $hasSlot.withValue(true, operation: { try await body(url) }))
        } catch {
            outcome = .failure(error)
        }
        // Also ends what the test has left connected.
        try? await administer(cluster, "DROP DATABASE \(name) WITH (FORCE)")
        return try outcome.get()
    }

    /// The connection string of the same database for another role. The cluster trusts every local
    /// connection.
    package static func url(_ url: String, as role: String) -> String {
        "postgresql://\(role)\(url.drop { $0 != "@" })"
    }

    /// Calls `body` with a running cluster of its own, for tests that stop or kill the server.
    package static func withCluster<Value>(
        settings: [String: String] = testSettings,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (LocalPostgres) async throws -> Value
    ) async throws -> Value {
        let cluster = try await makeCluster(settings)
        let outcome: Result<Value, any Error>
        do { outcome = .success(try await body(cluster)) } catch { outcome = .failure(error) }
        try? await cluster.destroy()
        return try outcome.get()
    }

    /// Settings for clusters whose data need not survive a power failure.
    package static let testSettings = [
        "fsync": "off", "full_page_writes": "off", "max_connections": "200",
        "shared_buffers": "64MB", "log_min_messages": "warning", "autovacuum": "off",
    ]

    fileprivate static func makeCluster(_ settings: [String: String]) async throws -> LocalPostgres
    {
        let name = uniqueName("oversync_test_\(ProcessInfo.processInfo.processIdentifier)")
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
        let cluster = try await LocalPostgres(directory: directory, settings: settings)
        try await cluster.start()
        try cluster.stopWhenThisProcessEnds(removingFiles: true)
        return cluster
    }

    fileprivate static func administer(_ cluster: LocalPostgres, _ sql: String) async throws {
        // Not inherited: a cancelled test must still drop its database.
        try await Task.detached {
            let configuration = try PostgresConfiguration(url: cluster.connectionURL())
            let logger = Logger(label: "test.database")
            let connection = try await PostgresConnection.connect(configuration, logger: logger)
            defer { connection.close() }
            try await connection.execute(script: sql)
        }.value
    }

    private static func uniqueName(_ prefix: String) -> String {
        let number = UInt64.random(in: 0...UInt64.max)
        return "\(prefix)_\(String(number, radix: 16))"
    }
}

/// The cluster that a process's tests share. It remembers tasks, since several tests ask at once and
/// all must wait for the one that starts it.
private actor SharedCluster {
    static let shared = SharedCluster()

    /// Databases in use at once: each needs some connections, and a cluster has few.
    private static let maximumDatabases = 12

    private var freeSlots = SharedCluster.maximumDatabases
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func takeSlot() async {
        if freeSlots > 0 {
            freeSlots -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    func freeSlot() {
        if waiting.isEmpty { freeSlots += 1 } else { waiting.removeFirst().resume() }
    }

    private var starting: Task<LocalPostgres, any Error>?
    private var templates: [String: Task<Void, any Error>] = [:]

    func cluster() async throws -> LocalPostgres {
        let task =
            starting ?? Task { try await TestDatabase.makeCluster(TestDatabase.testSettings) }
        starting = task
        return try await task.value
    }

    func make(_ template: DatabaseTemplate) async throws {
        let cluster = try await cluster()
        let task =
            templates[template.name]
            ?? Task {
                try await TestDatabase.administer(cluster, "CREATE DATABASE \"\(template.name)\"")
                try await template.prepare(cluster.connectionURL(database: template.name))
            }
        templates[template.name] = task
        try await task.value
    }
}
