import Foundation
import OperatorKit

/// The right to run a stack in a folder: two would take each other's PostgreSQL away.
///
/// The kernel lets go of it when the process ends, however it ends.
final class StackClaim: Sendable {
    private static let fileName = "lock"

    private let descriptor: Int32

    /// - Throws: `StackError` while another process has the folder, or if it cannot be written.
    init(_ directory: StackDirectory) throws {
        try FileManager.default.createDirectory(
            atPath: directory.root, withIntermediateDirectories: true)
        let path = directory.root + "/" + Self.fileName
        descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StackError("cannot open \(path): \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw StackError(
                "another process runs a stack in \(directory.root): stop it first, or use --directory to choose another folder"
            )
        }
    }

    deinit { close(descriptor) }

    /// Removes whatever an earlier run has left.
    func clear(_ directory: StackDirectory) throws {
        let files = FileManager.default
        for name in try files.contentsOfDirectory(atPath: directory.root)
        where name != Self.fileName {
            try files.removeItem(atPath: directory.root + "/" + name)
        }
    }
}
