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

/// Ports of 127.0.0.1 that are free now.
package enum FreePort {
    /// - Returns: one that the system chooses.
    package static func find() throws -> Int {
        guard let port = try bound(0) else { throw StackError("no port is free on 127.0.0.1") }
        return port
    }

    /// - Throws: `StackError` that says what to do, if `port` cannot be listened on.
    static func expect(_ port: Int) throws {
        guard try bound(port) == nil else { return }
        throw StackError(
            "the gateway cannot listen on 127.0.0.1:\(port): \(String(cString: strerror(errno))). "
                + "End the process that does, or choose another port with --port")
    }

    /// - Returns: the port that could be had for a moment; nil, and `errno`, if it could not.
    private static func bound(_ port: Int) throws -> Int? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw StackError("no socket can be made") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = in_port_t(port).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // As servers do: connections of an earlier one that are still closing do not count.
        var reuses: CInt = 1
        setsockopt(
            descriptor, SOL_SOCKET, SO_REUSEADDR, &reuses, socklen_t(MemoryLayout<CInt>.size))
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, size) == 0 && getsockname(descriptor, generic, &size) == 0
            }
        }
        let problem = errno
        close(descriptor)
        errno = problem
        return result ? Int(in_port_t(bigEndian: address.sin_port)) : nil
    }
}
