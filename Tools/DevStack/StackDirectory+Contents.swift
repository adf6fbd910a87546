import Crypto
import Foundation
import OperatorKit

/// Where a private stack keeps its data, certificates, secrets and sockets.
extension StackDirectory {
    package var postgres: String { root + "/postgres" }
    package var certificates: String { root + "/tls" }
    package var secrets: String { root + "/secrets" }
    package var log: String { root + "/oversync.log" }

    /// Longest path of a socket's directory: the kernel takes 107 bytes for the whole path.
    private static let longestSocketDirectory = 80

    /// Where the services' sockets are. Next to the rest where the path is short enough.
    package var sockets: String {
        let inside = root + "/run"
        guard inside.utf8.count > Self.longestSocketDirectory else { return inside }
        let digest = SHA256.hash(data: Data(root.utf8)).prefix(8).map { String($0, radix: 16) }
            .joined()
        return "/tmp/oversync-\(geteuid())-\(digest)"
    }

    /// Makes the folders, for this user alone.
    package func create() throws {
        for path in [root, certificates, secrets, sockets] {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: nil)
        }
        for path in [secrets, sockets] { chmod(path, 0o700) }
    }

    /// A secret of 32 random bytes in a file, made on first use. The path goes to `<KEY>_FILE`.
    package func secret(_ name: String) throws -> String {
        let path = secrets + "/" + name
        if FileManager.default.fileExists(atPath: path) { return path }
        let key = SymmetricKey(size: .bits256)
        let text = key.withUnsafeBytes { Data($0).base64EncodedString() }
        let created = FileManager.default.createFile(
            atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        guard created else { throw StackError("cannot write \(path)") }
        return path
    }
}
