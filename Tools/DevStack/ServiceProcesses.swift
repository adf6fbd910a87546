import Foundation
import OperatorKit

/// The processes of a stack, found by what the supervisor has given them.
package enum ServiceProcesses {
    /// Longest name that the kernel keeps, in bytes.
    private static let nameBytes = 15

    /// - Parameters:
    ///   - name: such as `oversync-upload`.
    ///   - stack: theirs; another stack's services may be children of the same process.
    package static func named(_ name: String, of stack: StackAddress) -> [Int32] {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return folders.compactMap { Int32($0) }.sorted().filter { id in
            guard read("/proc/\(id)/comm")?.dropLast() == name.prefix(nameBytes) else {
                return false
            }
            let environment = read("/proc/\(id)/environ")?.split(separator: "\0") ?? []
            return environment.contains { $0 == "OVERSYNC_RUN=\(stack.sockets)" }
        }
    }

    private static func read(_ path: String) -> String? {
        try? String(contentsOfFile: path, encoding: .utf8)
    }
}
