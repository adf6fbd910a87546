import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Synchronization
import Testing

@testable import Gateway

/// When a client that takes nothing of its answer is ended.
@Suite("Reader patience")
struct ReaderPatienceTests {
    @Test("Looks without progress end it, and each sign of life begins anew")
    func looks() {
        var patience = ReaderPatience()
        #expect(!patience.isWaiting)
        for _ in 1...3 { patience.wrote() }
        patience.begin(buffered: 100)
        #expect(patience.isWaiting)
        #expect(patience.look(buffered: 100) == .goesOn)
        #expect(patience.look(buffered: 100) == .goesOn)
        // The socket has taken something.
        #expect(patience.look(buffered: 90) == .goesOn)
        #expect(patience.look(buffered: 90) == .goesOn)
        // A part has gone.
        patience.took()
        #expect(patience.look(buffered: 90) == .goesOn)
        #expect(patience.look(buffered: 90) == .goesOn)
        #expect(patience.look(buffered: 90) == .goesOn)
        #expect(patience.look(buffered: 90) == .stalled)
    }

    @Test("Whoever has taken everything is not looked at, however long nothing comes")
    func nothingWaits() {
        var patience = ReaderPatience()
        patience.wrote()
        patience.begin(buffered: 1)
        patience.took()
        #expect(!patience.isWaiting)
        #expect(patience.look(buffered: 0) == .nothingWaits)
    }

    /// Takes nothing of what is written before it is told to.
    private final class Dam: ChannelOutboundHandler {
        typealias OutboundIn = HTTPResponsePart

        private(set) var held: [(HTTPResponsePart, EventLoopPromise<Void>?)] = []

        func write(
            context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
        ) {
            held.append((unwrapOutboundIn(data), promise))
        }

        func take() {
            held.removeFirst().1?.succeed()
        }

        /// Loses what it holds.
        func burst() {
            for (_, promise) in held { promise?.fail(ChannelError.ioOnClosedChannel) }
            held = []
        }
    }

    private final class Stalls: Sendable {
        private let number = Atomic(0)

        var count: Int { number.load(ordering: .relaxed) }
        func add() { number.add(1, ordering: .relaxed) }
    }

    private final class Stage {
        let channel = EmbeddedChannel()
        let dam = Dam()
        let stalls = Stalls()

        init(isStream: Bool) throws {
            let limit = StalledReaderLimit(.seconds(30), isStream: isStream) { [stalls] in
                stalls.add()
            }
            try channel.pipeline.syncOperations.addHandlers(dam, limit)
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
        }

        deinit { dam.burst() }

        func write(_ parts: [HTTPResponsePart]) {
            for part in parts { channel.write(part, promise: nil) }
            channel.flush()
        }
    }

    @Test("A stream's body goes in pieces, each of which is a sign of life")
    func pieces() throws {
        let stage = try Stage(isStream: true)
        let piece = StalledReaderLimit.pieceBytes
        let body = ByteBuffer(repeating: 7, count: 2 * piece + 1)
        stage.write([.head(HTTPResponse(status: .ok)), .body(body), .end(nil)])
        let sizes = stage.dam.held.map { part, _ in
            if case .body(let bytes) = part { bytes.readableBytes } else { 0 }
        }
        #expect(sizes == [0, piece, piece, 1, 0])
        stage.dam.take()  // The head, which counts for nothing.
        for _ in 1...3 {
            stage.channel.embeddedEventLoop.advanceTime(by: .seconds(25))
            stage.dam.take()
        }
        #expect(stage.channel.isActive && stage.stalls.count == 0)
        stage.channel.embeddedEventLoop.advanceTime(by: .seconds(41))
        #expect(!stage.channel.isActive && stage.stalls.count == 1)
    }

    @Test("A connection is closed whose answer nobody takes, and not before", arguments: [1, 2])
    func connection(chunks: Int) throws {
        let stage = try Stage(isStream: false)
        let bodies = (1...chunks).map { _ in HTTPResponsePart.body(ByteBuffer(string: "x")) }
        stage.write([.head(HTTPResponse(status: .ok))] + bodies + [.end(nil)])
        stage.channel.embeddedEventLoop.advanceTime(by: .seconds(29))
        #expect(stage.channel.isActive)
        stage.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!stage.channel.isActive && stage.stalls.count == 1)
    }

    @Test("A watch without news is left alone")
    func watch() throws {
        let stage = try Stage(isStream: true)
        stage.write([.head(HTTPResponse(status: .ok)), .body(ByteBuffer(string: "event"))])
        while !stage.dam.held.isEmpty { stage.dam.take() }
        stage.channel.embeddedEventLoop.advanceTime(by: .hours(24))
        #expect(stage.channel.isActive && stage.stalls.count == 0)
        _ = try stage.channel.finish()
    }
}
