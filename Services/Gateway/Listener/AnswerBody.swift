import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Gathers the body of an answer whose length is known.
struct CollectedBody: ResponseBodyWriter {
    private final class Box {
        var bytes = ByteBuffer()
    }

    private let box = Box()

    /// - Returns: nil when the body's length is not known.
    static func bytes(of body: ResponseBody) async -> ByteBuffer? {
        guard let length = body.contentLength else { return nil }
        guard length > 0 else { return ByteBuffer() }
        let collected = CollectedBody()
        // Bodies of a known length are in memory: nothing there can fail.
        try? await body.write(collected)
        return collected.box.bytes
    }

    func write(_ buffer: ByteBuffer) async throws {
        if box.bytes.readableBytes == 0 {
            box.bytes = buffer
        } else {
            box.bytes.writeImmutableBuffer(buffer)
        }
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

/// Writes the parts of an answer as they come, each when the one before is on its way.
struct ChannelBodyWriter: ResponseBodyWriter {
    let channel: any Channel

    func write(_ buffer: ByteBuffer) async throws {
        try await channel.writeAndFlush(HTTPResponsePart.body(buffer))
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        try await channel.writeAndFlush(HTTPResponsePart.end(trailingHeaders))
    }
}
