import NIOCore
import OperatorKit

/// HTTP/2 with one stream at a time.
struct HTTP2Wire: AttackWire {
    /// The window that HTTP/2 has by itself: answers to small requests fit it.
    private static let window: UInt32 = 65_535

    let head: ByteBuffer
    private var framer = HTTP2Framer()
    private var replies = ByteBuffer()
    /// Of the answer that is on its way.
    private var status: Int?

    /// - Parameter head: every request's, in HPACK.
    init(head: ByteBuffer) { self.head = head }

    var greeting: ByteBuffer? { HTTP2.greeting(window: Self.window) }

    func request(_ turn: Int) -> ByteBuffer { HTTP2.get(stream: 2 * turn + 1, head) }

    mutating func take(_ bytes: ByteBuffer) throws -> [AttackAnswer] {
        framer.append(bytes)
        var answers: [AttackAnswer] = []
        while let frame = framer.next() {
            guard !frame.isA(.goAway) else { throw StackError("the gateway said goodbye") }
            if let reply = HTTP2Framer.reply(to: frame) { replies.writeImmutableBuffer(reply) }
            if frame.isA(.headers), status == nil { status = HTTP2.status(in: frame.payload) }
            guard frame.endsStream else { continue }
            guard !frame.isA(.resetStream) else { throw StackError("a stream was reset") }
            answers.append(AttackAnswer(status: status ?? 0, isStatusAlone: true))
            status = nil
        }
        return answers
    }

    mutating func reply() -> ByteBuffer? {
        guard replies.readableBytes > 0 else { return nil }
        defer { replies = ByteBuffer() }
        return replies
    }
}
