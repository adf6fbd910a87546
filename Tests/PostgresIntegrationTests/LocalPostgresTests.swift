import Foundation
import LocalPostgres
import Postgres
import TestSupport
import Testing

@Suite struct LocalPostgresTests {
    @Test func dataSurvivesAKillAndARestart() async throws {
        try await TestDatabase.withCluster { cluster in
            try await run(cluster, "CREATE TABLE kept AS SELECT 42 AS answer")
            try await cluster.kill()
            #expect(!cluster.isRunning)
            try await cluster.start()
            try await run(cluster, "SELECT 1 / (answer - 41) FROM kept")
            try await cluster.restart(.immediate)
            try await run(cluster, "SELECT 1 / (answer - 41) FROM kept")
        }
    }

    @Test func aStaleProcessFileDoesNotStopTheNextStart() async throws {
        try await TestDatabase.withCluster { cluster in
            try await cluster.stop()
            // The number of a living process that is no server: this one.
            let own = "\(ProcessInfo.processInfo.processIdentifier)\n"
            let file = "\(cluster.directory)/data/postmaster.pid"
            try Data(own.utf8).write(to: URL(fileURLWithPath: file))
            #expect(!cluster.isRunning)
            try await cluster.start()
            #expect(cluster.isRunning)
        }
    }

    @Test func aLongDirectoryAndASettingWithAQuoteWork() async throws {
        let name = "oversync_" + String(repeating: "long", count: 30)
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "\(name)_\(ProcessInfo.processInfo.processIdentifier)")
        var settings = TestDatabase.testSettings
        settings["search_path"] = "it's"
        let cluster = try await LocalPostgres(directory: directory.path, settings: settings)
        try await cluster.start()
        try cluster.stopWhenThisProcessEnds(removingFiles: true)
        try await run(cluster, "SELECT 1")
        try await cluster.destroy()
        #expect(!FileManager.default.fileExists(atPath: cluster.directory))
    }

    @Test(.enabled(if: geteuid() == 0))
    func aPlaceThatTheServersUserCannotReachIsReplacedAndSaidSo() async throws {
        let files = FileManager.default
        let closed = files.temporaryDirectory.appendingPathComponent("closed-\(UUID().uuidString)")
        try files.createDirectory(
            at: closed, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        defer { try? files.removeItem(at: closed) }
        let cluster = try await LocalPostgres(
            directory: closed.appendingPathComponent("pg").path,
            settings: TestDatabase.testSettings)
        #expect(cluster.directory.hasPrefix("/var/tmp/oversync-"))
        #expect(cluster.remarks.count == 1)
        try await cluster.destroy()
    }

    @Test func aTemplateIsPreparedOnceAndCopied() async throws {
        let template = DatabaseTemplate(name: "template_of_test") { url in
            let configuration = try PostgresConfiguration(url: url)
            let connection = try await PostgresConnection.connect(configuration, logger: quiet)
            defer { connection.close() }
            try await connection.execute(script: "CREATE TABLE t (); ")
        }
        for _ in 0..<2 {
            try await TestDatabase.withDatabase(template: template) { url in
                let configuration = try PostgresConfiguration(url: url)
                let connection = try await PostgresConnection.connect(configuration, logger: quiet)
                defer { connection.close() }
                // Fails if the table is missing, or if this copy was used before.
                try await connection.execute(script: "DROP TABLE t")
            }
        }
    }

    private func run(_ cluster: LocalPostgres, _ sql: String) async throws {
        let configuration = try PostgresConfiguration(url: cluster.connectionURL())
        let connection = try await PostgresConnection.connect(configuration, logger: quiet)
        defer { connection.close() }
        try await connection.execute(script: sql)
    }
}
