import DevStack
import NIOCore
import OperatorKit

/// Cuts the bytes of a connection into answers of HTTP/1.1 whose length is in their head. Does as little as it can:
/// the load's own work is taken from the servers it measures.
struct ResponseFramer {
    /// Longest head, in bytes.
    static let maximumHead = 16 << 10

    struct Response {
        let status: Int
        /// Seconds after which the server wants to be asked again.
        var retryAfter: Int?
        let body: ByteBuffer
    }

    private struct Head {
        let status: Int
        let bytes: Int
        var body: Int?
        var retryAfter: Int?
    }

    private var bytes = ByteBuffer()
    /// Once it is there.
    private var head: Head?

    mutating func append(_ more: ByteBuffer) {
        if bytes.readableBytes == 0 {
            bytes = more
        } else {
            var more = more
            if let head { bytes.reserveCapacity(head.bytes + (head.body ?? 0)) }
            bytes.writeBuffer(&more)
        }
    }

    /// The next whole answer; nil when there is none yet.
    ///
    /// - Throws: `StackError` when the bytes are no such answer.
    mutating func next() throws -> Response? {
        if head == nil { head = try readHead() }
        guard let head, let length = head.body, bytes.readableBytes >= head.bytes + length else {
            return nil
        }
        self.head = nil
        bytes.moveReaderIndex(forwardBy: head.bytes)
        guard let body = bytes.readSlice(length: length) else { return nil }
        return Response(status: head.status, retryAfter: head.retryAfter, body: body)
    }

    private func readHead() throws -> Head? {
        let text = bytes.withUnsafeReadableBytes { all -> String? in
            let head = UnsafeRawBufferPointer(rebasing: all.prefix(Self.maximumHead))
            return firstOccurrence(of: "\r\n\r\n", in: head).map { end in
                String(decoding: head[..<end], as: UTF8.self)
            }
        }
        guard let text else {
            guard bytes.readableBytes < Self.maximumHead else {
                throw StackError("an answer without an end of its head")
            }
            return nil
        }
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = lines[0].split(separator: " ")
        guard words.count > 1, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
            throw StackError("no answer of HTTP/1.1: \(lines[0].prefix(80))")
        }
        var head = Head(status: status, bytes: text.utf8.count + 4)
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = Int(line[line.index(after: colon)...].drop { $0 == " " })
            switch line[..<colon].lowercased() {
            case "content-length": head.body = value
            case "retry-after": head.retryAfter = value
            default: break
            }
        }
        guard head.body != nil else {
            throw StackError("an answer without a length: \(lines[0])")
        }
        return head
    }
}
