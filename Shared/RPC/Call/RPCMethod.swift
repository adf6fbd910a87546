import NIOCore
import SwiftProtobuf

/// A method by its full name, with the types of its messages. One constant is shared by the side
/// that calls and the side that answers, so they cannot disagree.
package struct RPCMethod<
    Request: SwiftProtobuf.Message & Sendable, Reply: SwiftProtobuf.Message & Sendable
>: Sendable {
    /// Such as `oversync.upload.v1.PushChanges`.
    package let name: String

    package init(_ name: String) {
        self.name = name
    }
}

/// An answer, or one part of a streamed answer.
package struct RPCReply<Message: SwiftProtobuf.Message & Sendable>: Sendable {
    package var message: Message
    /// Bytes that go through unread.
    package var body: ByteBuffer

    package init(_ message: Message, body: ByteBuffer = ByteBuffer()) {
        self.message = message
        self.body = body
    }
}
