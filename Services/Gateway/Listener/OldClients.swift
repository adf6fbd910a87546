import NIOCore
import NIOHTTP1

/// Says in one way what clients ask of a connection in many: `Connection: close` on each request
/// that is to be the last one. HTTP/1.0 asks for that by saying nothing, and knows no answer before
/// the answer. Refuses requests that do not name one host.
final class OldClients: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    /// A request was refused: what follows it on the connection is not read.
    private var hasRefused = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasRefused else { return }
        guard case .head(var head) = unwrapInboundIn(data) else {
            return context.fireChannelRead(data)
        }
        // With two hosts, a proxy in front of the gateway could choose the other one (RFC 9112,
        // section 3.2). HTTP/1.0 requires no host.
        let hosts = head.headers["Host"].count
        guard hosts == 1 || hosts == 0 && head.version == .http1_0 else {
            hasRefused = true
            return context.fireErrorCaught(HTTPParserError.invalidHeaderToken)
        }
        guard !head.isKeepAlive || head.version == .http1_0 else {
            return context.fireChannelRead(data)
        }
        if !head.isKeepAlive { head.headers.replaceOrAdd(name: "Connection", value: "close") }
        if head.version == .http1_0 { head.headers.remove(name: "Expect") }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }
}
