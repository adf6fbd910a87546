import Foundation

/// Programs that run as the user of a cluster's server: backups, restores, dumps.
extension LocalPostgres {
    /// Runs a program to its end, as the server's user and with libpq's variables for this cluster,
    /// and returns what it printed.
    ///
    /// - Parameter environment: more variables.
    /// - Throws: ``LocalPostgresError``.
    @discardableResult
    package func run(
        beside program: String, _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> String {
        try await user.run(
            try Shell.find("env"), variables(environment) + [try path(of: program)] + arguments)
    }

    /// Starts a program in the same way. It ends with this process, however that ends.
    package func start(
        beside program: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> TiedProcess {
        let (first, rest) = try user.command(
            try Shell.find("env"), variables(environment) + [try path(of: program)] + arguments)
        return try TiedProcess(program: first, rest)
    }

    /// A directory in the cluster's own that the server's user may write to. Made if it does not
    /// exist.
    package func makeDirectory(_ name: String) throws -> String {
        let path = "\(directory)/\(name)"
        try user.makeDirectory(path)
        return path
    }

    /// Puts another data directory into the place of this one, whose server must not run, and
    /// starts the server on it. The files of before go.
    package func start(from data: String) async throws {
        try FileManager.default.removeItem(atPath: paths.data)
        try FileManager.default.moveItem(atPath: data, toPath: paths.data)
        try await start()
    }

    private func path(of program: String) throws -> String {
        program.hasPrefix("/") ? program : try Shell.find(program)
    }

    private func variables(_ more: [String: String]) throws -> [String] {
        let all = ["PGHOST": paths.sockets, "PGUSER": user.role]
        return all.merging(more) { $1 }.map { "\($0)=\($1)" }.sorted()
    }
}
