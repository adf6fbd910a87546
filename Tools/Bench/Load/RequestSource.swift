import NIOCore
import OperatorKit

/// What one keep-alive connection of the load asks, one request after the other.
protocol RequestSource: Sendable {
    /// The next request, head and body, ready to be written.
    mutating func next() -> ByteBuffer

    /// Looks at the answer to it.
    ///
    /// - Returns: how much was done: changes, rows, requests.
    /// - Throws: `StackError` when it is not the answer that the load counts on.
    mutating func take(_ body: UnsafeRawBufferPointer) throws -> Int
}

/// Bytes of HTTP/1.1.
enum RequestBytes {
    /// - Parameter more: more headers, each with its end of line.
    static func get(_ path: String, token: String? = nil, more: String = "") -> ByteBuffer {
        ByteBuffer(string: head("GET", path, token: token) + more + "\r\n")
    }

    static func head(_ method: String, _ path: String, token: String?) -> String {
        let authorization = token.map { "authorization: Bearer \($0)\r\n" } ?? ""
        return "\(method) \(path) HTTP/1.1\r\nhost: 127.0.0.1\r\n\(authorization)"
    }
}
