import Foundation

/// The operating-system user that owns a cluster: PostgreSQL refuses to run as root.
struct ServerUser: Sendable {
    /// Made when the machine has no `postgres` user.
    private static let ownName = "oversync"

    /// nil when this process is not root and runs everything as itself.
    let name: String?

    /// Finds the user, or makes it when running as root.
    static func current() async throws -> ServerUser {
        guard geteuid() == 0 else { return ServerUser(name: nil) }
        for name in ["postgres", ownName] where getpwnam(name) != nil {
            return ServerUser(name: name)
        }
        try await Shell.run(
            try Shell.find("useradd"), ["--system", "--no-create-home", ownName])
        return ServerUser(name: ownName)
    }

    /// The name of the cluster's superuser, by `initdb`'s custom that of its owner.
    var role: String { name ?? NSUserName() }

    /// The program and arguments that run `command` as this user.
    func command(_ program: String, _ arguments: [String]) throws -> (String, [String]) {
        guard let name else { return (program, arguments) }
        return (try Shell.find("runuser"), ["-u", name, "--", program] + arguments)
    }

    @discardableResult
    func run(_ program: String, _ arguments: [String]) async throws -> String {
        let (program, arguments) = try command(program, arguments)
        return try await Shell.run(program, arguments)
    }

    /// Makes a directory that only this user may enter (and root).
    func makeDirectory(_ path: String) throws {
        var attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o700]
        if let name { attributes[.ownerAccountName] = name }
        let files = FileManager.default
        try files.createDirectory(atPath: path, withIntermediateDirectories: true)
        try files.setAttributes(attributes, ofItemAtPath: path)
    }

    func canEnter(_ path: String) async -> Bool {
        guard let test = try? Shell.find("test") else { return false }
        return (try? await run(test, ["-w", path, "-a", "-x", path])) != nil
    }
}
