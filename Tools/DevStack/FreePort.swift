import Foundation
import OperatorKit

/// Ports of 127.0.0.1 that are free now.
package enum FreePort {
    /// Lowest port that is looked at: below it well-known servers are likely.
    private static let lowest = 10_240
    /// Where Linux begins with the ports that it gives out by itself, where it does not tell.
    private static let usualFirstGiven = 32_768
    /// Ports that are tried before the system is asked for any.
    private static let attempts = 100

    /// A port that is free, and is likely to stay so until a server listens on it, and while that server is started
    /// again: it is outside the range from which the system takes ports for outgoing connections.
    ///
    /// - Throws: `StackError` if there is none.
    package static func find() throws -> Int {
        let givenOut = firstGivenOut()
        for _ in 0..<(givenOut > lowest ? attempts : 0) {
            if let port = try bound(Int.random(in: lowest..<givenOut)) { return port }
        }
        guard let port = try bound(0) else { throw StackError("no port is free on 127.0.0.1") }
        return port
    }

    /// The first of a row of such ports.
    ///
    /// - Throws: `StackError` if there are none.
    package static func findRow(of count: Int) throws -> Int {
        for _ in 0..<attempts {
            let first = try find()
            guard first + count < firstGivenOut() else { continue }
            if try (first..<first + count).allSatisfy({ try bound($0) != nil }) { return first }
        }
        throw StackError("no \(count) ports in a row are free on 127.0.0.1")
    }

    /// The lowest port that the system gives out by itself.
    package static func firstGivenOut() -> Int {
        let file = "/proc/sys/net/ipv4/ip_local_port_range"
        let range = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return range.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
            ?? usualFirstGiven
    }

    /// - Throws: `StackError` that says what to do, if `port` cannot be listened on.
    static func expect(_ port: Int) throws {
        guard try bound(port) == nil else { return }
        throw StackError(
            "the gateway cannot listen on 127.0.0.1:\(port): \(String(cString: strerror(errno))). "
                + "Stop the process that does, or use --port to choose another port")
    }

    /// - Returns: the port that could be had for a moment; nil, and `errno`, if it could not.
    private static func bound(_ port: Int) throws -> Int? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw StackError("cannot create a socket") }
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
