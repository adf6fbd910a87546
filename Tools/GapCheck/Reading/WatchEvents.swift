import NIOCore

/// The heads that a stream of server-sent events names, put together from its pieces.
package struct WatchEvents: Sendable {
    private static let prefix = "data: {\"highest_server_seq\":"
    private var line: [UInt8] = []

    package init() {}

    /// - Returns: the heads whose lines end in this piece.
    package mutating func take(_ piece: ByteBuffer) -> [Int64] {
        var heads: [Int64] = []
        for byte in piece.readableBytesView {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            let text = String(decoding: line, as: UTF8.self)
            line.removeAll(keepingCapacity: true)
            if text.hasPrefix(Self.prefix),
                let head = Int64(text.dropFirst(Self.prefix.count).dropLast())
            {
                heads.append(head)
            }
        }
        return heads
    }
}
