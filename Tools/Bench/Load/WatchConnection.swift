import NIOCore
import OperatorKit
import Synchronization

/// What connections that watch have seen, all together.
final class WatchBoard: Sendable {
    /// Streams that began, and those that ended before they were told to.
    let opened = Atomic(0)
    let dropped = Atomic(0)
    let events = Atomic(0)
    private let isClosing = Atomic(false)
    /// Every event, with the moment it came.
    let stream: AsyncStream<(head: Int, at: NIODeadline)>
    private let continuation: AsyncStream<(head: Int, at: NIODeadline)>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    /// Longest time until streams have begun or events have come.
    private static let patience: Duration = .seconds(60)

    /// Waits until this number of streams has begun.
    func waitUntilOpen(_ wanted: Int) async throws {
        try await wait("streams that began", wanted) { opened.load(ordering: .relaxed) }
    }

    /// Waits until this number of events has come.
    func waitForEvents(_ wanted: Int) async throws {
        try await wait("events that came", wanted) { events.load(ordering: .relaxed) }
    }

    private func wait(_ what: String, _ wanted: Int, _ count: () -> Int) async throws {
        let end = ContinuousClock.now + Self.patience
        while count() < wanted {
            guard ContinuousClock.now < end else {
                throw StackError("\(count()) \(what) instead of \(wanted)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// From now on an end is no loss.
    func close() {
        isClosing.store(true, ordering: .releasing)
        continuation.finish()
    }

    fileprivate func tell(_ head: Int) {
        events.add(1, ordering: .relaxed)
        continuation.yield((head, .now()))
    }

    fileprivate func ended() {
        if !isClosing.load(ordering: .acquiring) { dropped.add(1, ordering: .relaxed) }
    }
}

/// One device that watches its user's log through `/sync/watch`.
final class WatchConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Every event has one line that begins so.
    private static let mark = Array("id: ".utf8)

    private let request: ByteBuffer
    private let board: WatchBoard
    private var line: [UInt8] = []
    private var isOpen = false

    init(token: String, after: Int, _ board: WatchBoard) {
        request = RequestBytes.get("/sync/watch?after=\(after)", token: token)
        self.board = board
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        for byte in unwrapInboundIn(data).readableBytesView {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            read()
            line.removeAll(keepingCapacity: true)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { board.ended() }

    private func read() {
        if !isOpen, line.starts(with: "HTTP/1.1 200".utf8) {
            isOpen = true
            board.opened.add(1, ordering: .relaxed)
        }
        guard line.starts(with: Self.mark) else { return }
        let text = String(decoding: line.dropFirst(Self.mark.count), as: UTF8.self)
        if let head = Int(text) { board.tell(head) }
    }
}
