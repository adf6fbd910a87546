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
    private static let least = ReaderPatience.leastBytes

    private func connection(_ sent: Int, _ buffered: Int) -> ReaderPatience.Connection {
        ReaderPatience.Connection(sent: sent, buffered: buffered)
    }

    @Test("Looks without progress end it, and what is taken begins anew")
    func looks() {
        var patience = ReaderPatience()
        #expect(!patience.isWaiting)
        for _ in 1...3 { patience.wrote(Self.least) }
        patience.begin(connection(0, 0))
        #expect(patience.isWaiting)
        for _ in 1...2 { #expect(patience.look(connection(0, 0)) == .goesOn) }
        // A part has gone.
        patience.took(Self.least)
        #expect(patience.look(connection(0, 0)) == .goesOn)
        for _ in 1...2 { #expect(patience.look(connection(0, 0)) == .goesOn) }
        #expect(patience.look(connection(0, 0)) == .stalled)
    }

    @Test("A little every now and then is not enough, unless no more waits")
    func trickle() {
        var patience = ReaderPatience()
        for _ in 1...20 { patience.wrote(16 << 10) }
        patience.begin(connection(0, 0))
        patience.took(16 << 10)
        for _ in 1...2 { #expect(patience.look(connection(0, 0)) == .goesOn) }
        patience.took(16 << 10)
        #expect(patience.look(connection(0, 0)) == .stalled)
        patience = ReaderPatience()
        patience.wrote(60)
        patience.begin(connection(0, 0))
        // Each event of a watch is all that waits.
        for _ in 1...100 {
            patience.wrote(60)
            patience.took(60)
            #expect(patience.look(connection(0, 0)) == .goesOn)
        }
    }

    @Test("Of a large answer more must be taken, however slowly the rest may go")
    func part() {
        var patience = ReaderPatience()
        let waiting = 64 << 20
        patience.wrote(waiting)
        patience.begin(connection(0, waiting))
        // Of one part the connection alone shows what has gone.
        let due = waiting / ReaderPatience.leastPart
        for turn in 1...2 {
            #expect(patience.look(connection(turn, waiting - turn)) == .goesOn)
        }
        #expect(patience.look(connection(due, waiting - due)) == .goesOn)
        for _ in 1...2 { #expect(patience.look(connection(due, waiting - due)) == .goesOn) }
        #expect(patience.look(connection(due + Self.least, waiting - due)) == .stalled)
    }

    @Test("What others take on the connection counts only while this one waits behind it")
    func shared() {
        var patience = ReaderPatience()
        patience.wrote(Self.least)
        patience.begin(connection(0, 0))
        for turn in 1...2 { #expect(patience.look(connection(turn << 20, 0)) == .goesOn) }
        #expect(patience.look(connection(3 << 20, 0)) == .stalled)
        patience.begin(connection(0, 1 << 20))
        for turn in 1...9 { #expect(patience.look(connection(turn << 20, 1 << 20)) == .goesOn) }
    }

    @Test("Whoever has taken everything is not looked at, however long nothing comes")
    func nothingWaits() {
        var patience = ReaderPatience()
        patience.wrote(1)
        patience.begin(connection(0, 1))
        patience.took(1)
        #expect(!patience.isWaiting)
        #expect(patience.look(connection(1, 0)) == .nothingWaits)
    }

    /// Takes nothing of what is written before a test says so.
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

    @Test("A stream's body goes in pieces, of which enough are a sign of life")
    func pieces() throws {
        let stage = try Stage(isStream: true)
        let piece = StalledReaderLimit.pieceBytes
        let perPeriod = ReaderPatience.leastBytes / piece
        let body = ByteBuffer(repeating: 7, count: 4 * perPeriod * piece + 1)
        stage.write([.head(HTTPResponse(status: .ok)), .body(body), .end(nil)])
        let sizes = stage.dam.held.map { part, _ in
            if case .body(let bytes) = part { bytes.readableBytes } else { 0 }
        }
        #expect(sizes == [0] + Array(repeating: piece, count: 4 * perPeriod) + [1, 0])
        stage.dam.take()  // The head, which counts for nothing.
        for _ in 1...3 {
            stage.channel.embeddedEventLoop.advanceTime(by: .seconds(25))
            for _ in 1...perPeriod { stage.dam.take() }
        }
        #expect(stage.channel.isActive && stage.stalls.count == 0)
        stage.channel.embeddedEventLoop.advanceTime(by: .seconds(25))
        // Less than that is next to nothing.
        stage.dam.take()
        stage.channel.embeddedEventLoop.advanceTime(by: .seconds(16))
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
