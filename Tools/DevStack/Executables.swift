import Foundation

/// Finds the programs that were built or installed together.
package enum Executables {
    /// - Parameter name: such as `oversync-upload`.
    package static func find(_ name: String) throws -> String {
        var folders: [String] = []
        if let folder = ProcessInfo.processInfo.environment["OVERSYNC_BIN"] {
            folders.append(folder)
        }
        // A test runs inside a bundle that lies beside the products.
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            folders.append(URL(fileURLWithPath: own).deletingLastPathComponent().path)
        }
        folders.append(Bundle.main.bundlePath)
        for folder in folders
        where FileManager.default.isExecutableFile(atPath: folder + "/" + name) {
            return folder + "/" + name
        }
        throw StackError(
            "\(name) is not beside this program; run `make build`, or set OVERSYNC_BIN to its folder"
        )
    }
}

/// Finds a port that is free now.
package enum FreePort {
    package static func find() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw StackError("no socket can be made") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, size) == 0 && getsockname(descriptor, generic, &size) == 0
            }
        }
        guard result else { throw StackError("no port is free on 127.0.0.1") }
        return Int(in_port_t(bigEndian: address.sin_port))
    }
}
