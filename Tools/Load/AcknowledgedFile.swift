import Dispatch
import Foundation
import OperatorKit

/// The file of acknowledged changes, a JSON object a line. What stands in it must be in the server's log for ever.
package final class AcknowledgedFile: Sendable {
    private let path: String
    private let descriptor: Int32
    /// Where the disk is waited for.
    private let queue = DispatchQueue(label: "acknowledged")

    /// Opens or makes the file; new lines are appended.
    package init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw StackError("--acknowledged: cannot write \(path): \(Self.reason)")
        }
    }

    deinit { close(descriptor) }

    /// Returns when the changes are on the disk.
    package func append(_ changes: [PersistentDevice.Acknowledged]) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var lines = Data()
        for change in changes { lines += try encoder.encode(change) + [UInt8(ascii: "\n")] }
        let bytes = lines
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.write(bytes) }) }
        }
    }

    private func write(_ bytes: Data) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Foundation.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw StackError("\(path): \(Self.reason)") }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else { throw StackError("\(path): \(Self.reason)") }
    }

    private static var reason: String { String(cString: strerror(errno)) }

    /// Reads a file.
    ///
    /// - Throws: `StackError` with the number of a line that is none. A last line without its end was never
    ///   acknowledged to the device, and does not count.
    package static func read(_ path: String) throws -> [PersistentDevice.Acknowledged] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw StackError("--verify: cannot read \(path)")
        }
        let whole = text[..<(text.lastIndex(of: "\n") ?? text.startIndex)]
        return try whole.split(separator: "\n").enumerated().map { index, line in
            do {
                return try JSONDecoder().decode(
                    PersistentDevice.Acknowledged.self, from: Data(line.utf8))
            } catch {
                throw StackError(
                    "\(path), line \(index + 1) is not an acknowledged change: \(line)")
            }
        }
    }
}
