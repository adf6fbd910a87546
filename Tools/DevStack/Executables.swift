import Foundation
import OperatorKit

/// Finds the programs that were built or installed together.
package enum Executables {
    /// - Parameter name: such as `oversync-upload`.
    package static func find(_ name: String) throws -> String {
        var folders: [String] = []
        if let folder = ProcessInfo.processInfo.environment["OVERSYNC_BIN"] {
            folders.append(folder)
        }
        // A test runs inside a bundle next to the products.
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            folders.append(URL(fileURLWithPath: own).deletingLastPathComponent().path)
        }
        folders.append(Bundle.main.bundlePath)
        for folder in folders
        where FileManager.default.isExecutableFile(atPath: folder + "/" + name) {
            return folder + "/" + name
        }
        throw StackError(
            "\(name) is not in this program's folder: run `make build`, or set OVERSYNC_BIN to its folder"
        )
    }
}
