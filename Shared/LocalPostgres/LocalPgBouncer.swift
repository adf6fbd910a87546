import Foundation

/// A pgbouncer before a private cluster, for tests and development. It ends with this process, however that ends.
package struct LocalPgBouncer: Sendable {
    package enum PoolMode: String, Sendable, CaseIterable {
        case session, transaction, statement
    }

    /// How long it may take to listen.
    private static let patience = Duration.seconds(10)
    private static let poll = Duration.milliseconds(10)
    private static let port = 6432

    private let directory: String
    private let process: TiedProcess

    /// Starts it and returns when it listens. Like the cluster it listens on a Unix socket only and trusts who gets
    /// there.
    ///
    /// - Parameters:
    ///   - host: the cluster's socket directory.
    ///   - roles: who may connect.
    ///   - poolSize: the server's sessions for each role and database.
    ///   - settings: more of pgbouncer's, by name.
    package init(
        before host: String, mode: PoolMode, roles: [String], poolSize: Int = 4,
        settings: [String: String] = [:]
    ) async throws {
        // It refuses to run as root, as PostgreSQL does.
        let user = try await ServerUser.current()
        directory = "/tmp/oversync-pgb-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
        try user.makeDirectory(directory)
        var all = [
            "listen_addr": "", "listen_port": "\(Self.port)", "unix_socket_dir": directory,
            "auth_type": "trust", "auth_file": "\(directory)/roles", "pool_mode": mode.rawValue,
            "default_pool_size": "\(poolSize)", "max_client_conn": "500",
            "logfile": "\(directory)/log",
        ]
        all.merge(settings) { $1 }
        let lines = all.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }.joined()
        let text = """
            [databases]
            * = host=\(host) port=5432
            [pgbouncer]
            \(lines)
            """
        let file = "\(directory)/pgbouncer.ini"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        try Data(roles.map { "\"\($0)\" \"\"\n" }.joined().utf8).write(
            to: URL(fileURLWithPath: "\(directory)/roles"))
        let (program, arguments) = try user.command(try Shell.find("pgbouncer"), ["-q", file])
        process = try TiedProcess(program: program, arguments)
        let end = ContinuousClock.now + Self.patience
        while !(await answers()) {
            guard .now < end else {
                let log = try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)
                throw LocalPostgresError.unusable(
                    path: file, reason: "pgbouncer does not listen: \(log ?? "")")
            }
            // pgbouncer announces nothing: asking is the only way to see that it listens.
            try await Task.sleep(for: Self.poll)
        }
    }

    /// Whether it accepts connections. The socket's file is no proof: it exists before pgbouncer
    /// listens.
    private func answers() async -> Bool {
        let answer = try? await Shell.run(
            Shell.find("pg_isready"), ["--quiet", "--host=\(directory)", "--port=\(Self.port)"])
        return answer != nil
    }

    /// Where clients find it, for the `host` of a connection string.
    package var host: String { directory }
    package var port: Int { Self.port }

    package func stop() async {
        await process.stop()
        try? FileManager.default.removeItem(atPath: directory)
    }
}
