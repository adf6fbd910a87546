import Foundation
import LocalPostgres
import OperatorKit
import Postgres

/// The scripts of `Deploy/backup`, used on a private cluster as an operator uses them.
struct DrillBackups: Sendable {
    /// How long WAL may take to arrive.
    private static let patience: Duration = .seconds(60)
    private static let pause: Duration = .milliseconds(50)

    private let postgres: LocalPostgres
    private let scripts: String
    private let directory: String

    /// - Parameter scripts: the directory of backup.sh and restore.sh.
    init(of postgres: LocalPostgres, scripts: String) throws {
        self.postgres = postgres
        self.scripts = try Self.readable(scripts, for: postgres)
        directory = try postgres.makeDirectory("backups")
    }

    /// Receives WAL until the result is stopped.
    func receive() throws -> TiedProcess {
        try postgres.start(
            beside: "bash", [scripts + "/backup.sh", "receive"], environment: variables)
    }

    func base() async throws {
        try await postgres.run(
            beside: "bash", [scripts + "/backup.sh", "base"], environment: variables)
    }

    /// Makes `name` next to the cluster: the cluster as it was at a position in the WAL. Gives its
    /// path.
    func restore(_ name: String, at position: String) async throws -> String {
        let data = "\(postgres.directory)/\(name)"
        try? FileManager.default.removeItem(atPath: data)
        try await postgres.run(
            beside: "bash", [scripts + "/restore.sh", "into", data, "--lsn", position],
            environment: variables)
        try await postgres.run(
            beside: "bash", [scripts + "/restore.sh", "replay", data], environment: variables)
        return data
    }

    /// The end of what the server has written to its WAL.
    func position() async throws -> String {
        try await ask("SELECT pg_current_wal_flush_lsn()::text")
    }

    /// Returns when everything up to a position has been received.
    func waitUntilReceived(_ position: String) async throws {
        let end = ContinuousClock.now + Self.patience
        let question = """
            SELECT count(*)::text FROM pg_stat_replication
            WHERE flush_lsn >= '\(position)'::pg_lsn
            """
        while try await ask(question) == "0" {
            guard .now < end else {
                throw StackError("the WAL up to \(position) was not received")
            }
            try await Task.sleep(for: Self.pause)
        }
    }

    private func ask(_ sql: String) async throws -> String {
        try await withConnection(to: postgres.connectionURL()) { connection in
            try await connection.rows(Statement(name: "drill", sql: sql), of: String.self).one()
        }
    }

    private var variables: [String: String] { ["BACKUP_DIR": directory] }

    /// The scripts where the server's user can read them: it may not enter the folder of the
    /// source.
    private static func readable(_ scripts: String, for postgres: LocalPostgres) throws -> String {
        let copy = try postgres.makeDirectory("scripts")
        for name in ["backup.sh", "restore.sh"] {
            let target = "\(copy)/\(name)"
            try? FileManager.default.removeItem(atPath: target)
            try FileManager.default.copyItem(atPath: "\(scripts)/\(name)", toPath: target)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: target)
        }
        return copy
    }
}
