import NIOCore
import NIOEmbedded
import NIOHTTP2
import Testing

@testable import Gateway

/// An HTTP/2 connection that was told goodbye.
struct GoodbyeLimitTests {
    private static func frame(_ payload: HTTP2Frame.FramePayload) -> HTTP2Frame {
        HTTP2Frame(streamID: .rootStream, payload: payload)
    }

    private static let goodbye = frame(
        .goAway(lastStreamID: .rootStream, errorCode: .noError, opaqueData: nil))

    @Test func `it is closed in time, though the client never says that it has heard`() throws {
        let channel = EmbeddedChannel(handler: GoodbyeLimit(.seconds(20)))
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/tmp/x")).wait()
        try channel.writeOutbound(Self.frame(.ping(HTTP2PingData(), ack: false)))
        channel.embeddedEventLoop.advanceTime(by: .seconds(100))
        #expect(channel.isActive)
        try channel.writeOutbound(Self.goodbye)
        channel.embeddedEventLoop.advanceTime(by: .seconds(19))
        // A second goodbye, which is the usual end, gives no more time.
        try channel.writeOutbound(Self.goodbye)
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    /// Closes at any error, as Hummingbird's handler behind it does.
    private final class Closing: ChannelInboundHandler {
        typealias InboundIn = HTTP2Frame

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    @Test(
        "an error of one stream leaves the others their connection, one of the connection ends it")
    func streamError() throws {
        let channel = EmbeddedChannel(handlers: [GoodbyeLimit(.seconds(20)), Closing()])
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/tmp/x")).wait()
        let cause = NIOHTTP2Errors.createdStreamAfterGoaway()
        channel.pipeline.fireErrorCaught(
            NIOHTTP2Errors.streamError(streamID: 3, baseError: cause))
        #expect(channel.isActive)
        channel.pipeline.fireErrorCaught(NIOHTTP2Errors.excessiveStreamErrors())
        #expect(!channel.isActive)
    }
}
