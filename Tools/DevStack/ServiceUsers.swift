import Foundation
import OperatorKit

/// The users of the system that the services of a stack run as, as on a host that gives each
/// service a user of its own.
package struct ServiceUsers: Sendable {
    /// The number of each service's user, such as that of `gateway`.
    let numbers: [String: UInt32]
    /// The number of the group that all services are in: their sockets are open to it.
    let group: UInt32

    /// Whether this process can give services other users: it is root, and those may enter the
    /// folders of the programs and of temporary files.
    package static var canRun: Bool {
        let folder = FileManager.default.temporaryDirectory.path
        guard geteuid() == 0, let program = try? Executables.find("oversync-auth") else {
            return false
        }
        return [program, folder].allSatisfy { path in
            sequence(first: URL(filePath: path).resolvingSymlinksInPath()) {
                $0.path == "/" ? nil : $0.deletingLastPathComponent()
            }.allSatisfy { isOpen($0.path) }
        }
    }

    /// - Parameters:
    ///   - numbers: by service; each of the four is named.
    ///   - group: that all services are in.
    package init(_ numbers: [String: UInt32], group: UInt32) {
        self.numbers = numbers
        self.group = group
    }

    /// One service's user.
    package struct User: Sendable {
        let number: UInt32
        let group: UInt32

        /// The words before a program that run it as this user.
        var launcher: [String] {
            ["setpriv", "--reuid=\(number)", "--regid=\(group)", "--clear-groups"]
        }
    }

    /// - Throws: `StackError` if the service has none.
    func user(of service: String) throws -> User {
        guard let number = numbers[service] else { throw StackError("no user for \(service)") }
        return User(number: number, group: group)
    }

    /// Gives each service what it alone may read, a folder for its sockets, and the way to the
    /// others' sockets and to PostgreSQL's.
    ///
    /// - Parameter sockets: the folder of PostgreSQL's socket.
    /// - Throws: `StackError` if this process is not root.
    func prepare(
        _ directory: StackDirectory, _ certificates: DevelopmentCertificates, sockets: String
    ) throws {
        let above = URL(filePath: sockets).deletingLastPathComponent().path
        for folder in [directory.secrets, sockets] + (Self.isOpen(above) ? [] : [above]) {
            try own(folder, owner: nil, mode: 0o710)
        }
        // Who calls a service looks which replicas there are.
        try own(directory.sockets, owner: nil, mode: 0o750)
        for service in numbers.keys where service != "gateway" {
            let folder = directory.sockets + "/" + service
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            try own(folder, owner: service, mode: 0o2750)
        }
        try own(try directory.secret("auth-master-key"), owner: "auth", mode: 0o400)
        try own(try directory.secret("jwt-hs256"), owner: "gateway", mode: 0o400)
        try own(certificates.key, owner: "gateway", mode: 0o400)
    }

    /// Whether anybody may enter a folder, or run a program.
    private static func isOpen(_ folder: String) -> Bool {
        let attributes = try? FileManager.default.attributesOfItem(atPath: folder)
        let mode = attributes?[.posixPermissions] as? Int ?? 0
        return mode & 0o001 != 0
    }

    /// - Parameter owner: the service whose user owns it from now on; nil leaves the owner.
    private func own(_ path: String, owner: String?, mode: mode_t) throws {
        let owner = try owner.map { try user(of: $0).number } ?? uid_t.max
        guard chown(path, owner, group) == 0, chmod(path, mode) == 0 else {
            throw StackError("cannot give \(path) to another user: only root can")
        }
    }
}
