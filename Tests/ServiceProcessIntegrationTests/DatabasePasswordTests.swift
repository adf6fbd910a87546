import DevStack
import Foundation
import LocalPostgres
import Logging
import Postgres
import Sidecar
import TestSupport
import Testing

/// Services on a real PostgreSQL that asks for passwords.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct DatabasePasswordTests {
    /// Where the password stands.
    enum Place: String, CaseIterable, Sendable {
        case passwordFile, connectionStringFile
    }

    /// A cluster where `dana` needs a password, and a connection that administers it.
    private struct Server {
        let administration: PostgresConnection
        let url: (_ password: String?) -> String

        func set(_ password: String) async throws {
            try await administration.execute(script: "ALTER ROLE dana PASSWORD '\(password)'")
        }

        /// The processes of the server that serve `dana`.
        func sessions() async throws -> [Int32] {
            let statement = Statement(
                name: "sessions", sql: "SELECT pid FROM pg_stat_activity WHERE usename = 'dana'")
            let result = try await administration.run(Command(statement))
            return try (0..<result.rowCount).map { try result.int32($0, 0) }
        }

        /// Ends all sessions of `dana`.
        func interrupt() async throws {
            try await administration.execute(
                script: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    + "WHERE usename = 'dana'")
        }
    }

    private static func withServer(_ body: (Server) async throws -> Void) async throws {
        try await TestDatabase.withCluster { cluster in
            let configuration = try PostgresConfiguration(url: cluster.connectionURL())
            let connection = try await PostgresConnection.connect(
                configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            defer { connection.close() }
            _ = try await Migrator(connection: connection).migrate()
            try await connection.execute(script: "CREATE ROLE dana LOGIN SUPERUSER")
            let rules = URL(filePath: cluster.directory + "/data/pg_hba.conf")
            let others = try String(contentsOf: rules, encoding: .utf8)
            let handle = try FileHandle(forWritingTo: rules)
            try handle.write(contentsOf: Data("local all dana scram-sha-256\n\(others)".utf8))
            try handle.close()
            try await connection.execute(script: "SELECT pg_reload_conf()")
            let host = cluster.connectionURL().split(separator: "@")[1]
            try await body(
                Server(administration: connection) { password in
                    "postgresql://dana\(password.map { ":" + $0 } ?? "")@\(host)"
                })
        }
    }

    private static func write(
        _ password: String, _ place: Place, _ server: Server, _ folder: TestFolder
    )
        throws
    {
        switch place {
        case .passwordFile: try folder.write(password + "\n", "password")
        case .connectionStringFile: try folder.write(server.url(password) + "\n", "url")
        }
    }

    private static func environment(
        _ place: Place, _ server: Server, _ folder: TestFolder
    ) throws -> [String: String] {
        let own: [String: String?] =
            switch place {
            case .passwordFile:
                [
                    "OVERSYNC_DATABASE_URL": server.url("overridden"),
                    "OVERSYNC_DATABASE_PASSWORD_FILE": folder.path + "/password",
                ]
            case .connectionStringFile:
                [
                    "OVERSYNC_DATABASE_URL": nil,
                    "OVERSYNC_DATABASE_URL_FILE": folder.path + "/url",
                ]
            }
        return try folder.environment(own)
    }

    @Test(arguments: Place.allCases)
    func `a password that was changed is used for the next connection`(place: Place) async throws {
        try await Self.withServer { server in
            let folder = try TestFolder()
            try await server.set("first")
            try Self.write("first", place, server, folder)
            let run = try await ServiceRun(
                .download, try Self.environment(place, server, folder), in: folder)
            try await eventually("sessions: \(run.text)") { try await !server.sessions().isEmpty }

            try await server.set("second")
            // Again and again: an attempt that was under way may still come in with the old password.
            try await eventually("the old password is refused: \(run.text)") {
                try await server.interrupt()
                return run.text.contains("password authentication failed")
            }
            try Self.write("second", place, server, folder)
            try await eventually("new sessions: \(run.text)") {
                try await !server.sessions().isEmpty
            }

            // A file that is gone changes nothing, and is reported once.
            unlink(folder.path + (place == .passwordFile ? "/password" : "/url"))
            try await server.interrupt()
            try await run.logged("database password not reloaded; the old value stays")
            try await eventually("sessions again: \(run.text)") {
                try await !server.sessions().isEmpty
            }
            #expect(run.count(of: "not reloaded") == 1)
            for password in ["first", "second", "overridden"] {
                #expect(!run.text.contains(password))
            }
            try await run.stop()
        }
    }

    @Test func `health is 0 for a service that is ready`() async throws {
        try await Self.withServer { server in
            let folder = try TestFolder()
            try await server.set("first")
            let environment = try folder.environment([
                "OVERSYNC_DATABASE_URL": server.url(nil), "OVERSYNC_DATABASE_PASSWORD": "first",
                "OVERSYNC_ADMIN_PORT": "\(try FreePort.find())",
            ])
            let run = try await ServiceRun(.download, environment, in: folder)
            try await eventually("ready: \(run.text)") {
                let health = try await ServiceRun(.download, environment, ["--health"], in: folder)
                let code = try await health.exitCode()
                #expect((code == 0) == health.text.contains(#""status":"ready""#), "\(health.text)")
                return code == 0
            }
            try await run.stop()
        }
    }
}
