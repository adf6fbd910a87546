import NIOCore
import Soak
import Synchronization

/// Passes TCP on to the gateway, and cuts connections where a test says so.
///
/// It sees what anybody on the way sees: TLS records. Under TLS 1.2 the first record of application data from a
/// device is its request, and the first one from the gateway is its answer.
final class CuttingProxy: Sendable {
    /// What becomes of a connection.
    enum Fate: Equatable {
        case passes
        /// It ends when this many bytes of the request got through.
        case cutsRequest(after: Int)
        /// It ends when the gateway's answer is there, which nobody gets to see.
        case cutsAnswer
    }

    private let fate = Mutex(Fate.passes)

    /// Lends a proxy, and the port on which it listens. Connections go to the gateways in turn.
    static func run(
        before gatewayPorts: [Int],
        _ body: @escaping @Sendable (CuttingProxy, _ port: Int) async throws -> Void
    ) async throws {
        let proxy = CuttingProxy()
        try await Relay.run(before: gatewayPorts, filters: { proxy.filters() }) { port in
            try await body(proxy, port)
        }
    }

    /// Decides about the connections that come from now on.
    func set(_ fate: Fate) { self.fate.withLock { $0 = fate } }

    private func filters() -> (request: any RelayFilter, answer: any RelayFilter) {
        let fate = fate.withLock { $0 }
        return (RequestFilter(fate: fate), AnswerFilter(fate: fate))
    }

    private struct RequestFilter: RelayFilter {
        let fate: Fate
        private var records = TLSRecords()

        init(fate: Fate) { self.fate = fate }

        mutating func pass(_ bytes: ByteBuffer) -> (bytes: ByteBuffer, ends: Bool) {
            var bytes = bytes
            let seen = records.applicationBytes
            let before = bytes.readableBytes - records.read(bytes)
            guard case .cutsRequest(let limit) = fate, records.applicationBytes > limit else {
                return (bytes, false)
            }
            let rest = bytes.readSlice(length: before + max(0, limit - seen))
            return (rest ?? ByteBuffer(), true)
        }
    }

    private struct AnswerFilter: RelayFilter {
        let fate: Fate
        private var records = TLSRecords()

        init(fate: Fate) { self.fate = fate }

        mutating func pass(_ bytes: ByteBuffer) -> (bytes: ByteBuffer, ends: Bool) {
            _ = records.read(bytes)
            let cuts = fate == .cutsAnswer && records.applicationBytes > 0
            return (cuts ? ByteBuffer() : bytes, cuts)
        }
    }
}
