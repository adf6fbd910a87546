import Foundation

/// A private PostgreSQL cluster in a directory: for development, demonstrations and tests.
///
/// It listens on a Unix socket only, in a directory that nobody else may enter, and trusts who gets
/// there. When this process is root the server runs as another user, since PostgreSQL insists.
package struct LocalPostgres: Sendable {
    /// How the server ends.
    package enum StopMode: String, Sendable {
        /// Ends sessions and writes everything out.
        case fast
        /// Like a crash that the server notices: the next start recovers.
        case immediate
    }

    /// How long a start or stop may take, in seconds.
    private static let patience = 60

    /// The cluster's directory; not the wanted one when the server's user cannot reach that.
    package let directory: String
    /// What the owner should know, for example that another directory is used.
    package let remarks: [String]

    let paths: ClusterPaths
    let user: ServerUser
    private let initdb: String
    let control: String
    let settings: [String: String]

    /// Prepares the cluster's place. Nothing is started.
    ///
    /// - Parameters:
    ///   - directory: an absolute path; made if it does not exist.
    ///   - settings: PostgreSQL's settings, by name.
    /// - Throws: ``LocalPostgresError``.
    package init(directory wanted: String, settings: [String: String] = [:]) async throws {
        initdb = try Shell.find("initdb")
        control = try Shell.find("pg_ctl")
        user = try await ServerUser.current()
        self.settings = settings
        var remarks: [String] = []
        var root = wanted
        try user.makeDirectory(root)
        if await !user.canEnter(root) {
            root = ClusterPaths.fallback(for: wanted)
            try user.makeDirectory(root)
            remarks.append("the server's user cannot reach \(wanted): using \(root)")
        }
        guard await user.canEnter(root) else {
            throw LocalPostgresError.unusable(path: root, reason: "not writable for the server")
        }
        directory = root
        paths = ClusterPaths(root: root)
        self.remarks = remarks
    }

    /// Makes the cluster if it does not exist, and starts the server if it does not run.
    package func start() async throws {
        if isRunning { return }
        if !FileManager.default.fileExists(atPath: "\(paths.data)/PG_VERSION") {
            try await initialize()
        }
        try removeStaleFiles()
        try writeSettings()
        try user.makeDirectory(paths.sockets)
        do {
            try await pgctl("start", ["-l", paths.log, "-t", "\(Self.patience)"])
        } catch LocalPostgresError.commandFailed(_, let status, let output) {
            throw LocalPostgresError.commandFailed(
                program: "pg_ctl start", status: status, output: output + "\n" + logTail)
        }
    }

    /// Stops the server if it runs.
    package func stop(_ mode: StopMode = .fast) async throws {
        if !isRunning { return }
        try await pgctl("stop", ["-m", mode.rawValue, "-t", "\(Self.patience)"])
    }

    package func restart(_ mode: StopMode = .fast) async throws {
        try await stop(mode)
        try await start()
    }

    /// Stops the server and deletes everything.
    package func destroy() async throws {
        try await stop(.immediate)
        try? FileManager.default.removeItem(atPath: paths.sockets)
        try FileManager.default.removeItem(atPath: directory)
    }

    /// Runs a program, such as `pgbench`, to its end, in the root directory and as this process's user, and returns what
    /// it printed. It is looked for on PATH and where PostgreSQL's own are.
    package static func run(program name: String, _ arguments: [String]) async throws -> String {
        try await Shell.run(try Shell.find(name), arguments)
    }

    /// libpq's connection string for a database of this cluster.
    ///
    /// - Parameter role: nil for the cluster's superuser.
    package func connectionURL(database: String = "postgres", role: String? = nil) -> String {
        func encode(_ text: String) -> String {
            text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
        }
        return
            "postgresql://\(encode(role ?? user.role))@\(encode(paths.sockets))/\(encode(database))"
    }

    /// The folder of its socket: everybody who may enter it is trusted.
    package var socketDirectory: String { paths.sockets }

    /// The server's process; nil when it does not run.
    package var process: Int32? {
        guard let text = try? String(contentsOfFile: paths.processFile, encoding: .utf8),
            let line = text.split(separator: "\n").first, let id = Int32(line)
        else { return nil }
        // Another process may have got the number since. The server works in its data directory.
        let link = "/proc/\(id)/cwd"
        let place = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
        let data = URL(fileURLWithPath: paths.data).resolvingSymlinksInPath().path
        return place == data ? id : nil
    }

    package var isRunning: Bool { process != nil }

    private func initialize() async throws {
        // A directory left by an attempt that was interrupted makes initdb refuse.
        try? FileManager.default.removeItem(atPath: paths.data)
        try user.makeDirectory(paths.data)
        try await user.run(
            initdb,
            [
                "-D", paths.data, "-U", user.role, "--auth=trust", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-instructions",
            ] + (settings["fsync"] == "off" ? ["--no-sync"] : []))
        let configuration = "\(paths.data)/postgresql.conf"
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: configuration))
        defer { try? handle.close() }
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("\ninclude 'oversync.conf'\n".utf8))
    }

    private func writeSettings() throws {
        var all = settings
        all["listen_addresses"] = ""
        all["unix_socket_directories"] = paths.sockets
        all["port"] = "5432"
        let lines = all.sorted { $0.key < $1.key }.map { name, value in
            "\(name) = '\(value.replacingOccurrences(of: "'", with: "''"))'\n"
        }
        try Data(lines.joined().utf8).write(to: URL(fileURLWithPath: paths.settings))
    }

    /// Only called when no server runs here: files that an old server left would stop the next.
    private func removeStaleFiles() throws {
        for path in [paths.processFile, paths.sockets + ClusterPaths.socketName + ".lock"]
        where FileManager.default.fileExists(atPath: path) {
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private func pgctl(_ command: String, _ arguments: [String]) async throws {
        try await user.run(control, ["-D", paths.data, "-w", "-s", command] + arguments)
    }

    private var logTail: String {
        let log = (try? String(contentsOfFile: paths.log, encoding: .utf8)) ?? ""
        return log.split(separator: "\n").suffix(10).joined(separator: "\n")
    }
}
