import Foundation

/// The processes that a stack's supervisor has started.
package enum ServiceProcesses {
    /// Longest name that the kernel keeps, in bytes.
    private static let nameBytes = 15

    /// - Parameters:
    ///   - name: such as `oversync-upload`.
    ///   - parent: the process that supervises them.
    package static func named(_ name: String, childrenOf parent: Int32) -> [Int32] {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return folders.compactMap { Int32($0) }.sorted().filter { id in
            guard let stat = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8) else {
                return false
            }
            let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
            return stat.contains("(\(name.prefix(nameBytes)))") && fields.count > 1
                && Int32(fields[1]) == parent
        }
    }
}
