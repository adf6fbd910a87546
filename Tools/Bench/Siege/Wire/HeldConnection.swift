import NIOCore
import OperatorKit

/// Sends one request, and reads only the status of its answer, which may never end.
final class HeldConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes in which the status must stand.
    private static let longestLine = 256

    private let request: ByteBuffer
    private let began: EventLoopPromise<Int>
    private var line = ByteBuffer()
    private var hasBegun = false

    /// - Parameter began: gets the status; fails if the connection ends before it comes.
    init(_ request: ByteBuffer, began: EventLoopPromise<Int>) {
        self.request = request
        self.began = began
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasBegun else { return }
        line.writeImmutableBuffer(unwrapInboundIn(data))
        guard let end = line.readableBytesView.firstIndex(of: UInt8(ascii: "\r")) else {
            if line.readableBytes > Self.longestLine { context.close(promise: nil) }
            return
        }
        hasBegun = true
        let words = String(decoding: line.readableBytesView[..<end], as: UTF8.self)
            .split(separator: " ")
        if words.count > 1, let status = Int(words[1]) {
            began.succeed(status)
        } else {
            began.fail(StackError("no answer of HTTP/1.1"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        began.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        began.fail(StackError("closed by the gateway"))
    }
}

extension LoadTarget {
    /// Sends a request on a connection of its own, which stays open.
    ///
    /// - Returns: the connection, and the answer's status when it comes.
    func hold(
        _ request: ByteBuffer
    ) async throws -> (channel: any Channel, status: EventLoopFuture<Int>) {
        let (channel, status) = try await connect(promising: Int.self) {
            HeldConnection(request, began: $0)
        }
        return (channel, status)
    }
}
