import NIOCore
import SeededRandom
import Synchronization

/// The network between the devices and the gateway: it delays, cuts, truncates and refuses.
package final class RoughNetwork: Sendable {
    package enum Weather: Sendable {
        case rough
        /// Every connection ends, and none can be made.
        case down
        /// Everything passes.
        case good
    }

    /// What becomes of a connection in rough weather.
    package enum Fate: Hashable, Sendable {
        /// It ends at once.
        case refused
        /// Ends after this number of bytes from the device: requests are cut off.
        case cutsRequest(after: Int)
        /// Ends after this number of bytes from the gateway: answers are cut off.
        case truncatesAnswer(after: Int)
        /// After this number of bytes from the gateway nothing passes; the connection stays open.
        case stalls(after: Int)
        /// Each piece waits, in both directions, and it ends after this number of bytes.
        case slow(milliseconds: Int, bytes: Int)

        package var name: String {
            switch self {
            case .refused: "refused"
            case .cutsRequest: "cut off in a request"
            case .truncatesAnswer: "truncated in an answer"
            case .stalls: "stalled"
            case .slow: "slow"
            }
        }

        /// Bytes of a connection that ends early: a handshake is some 3 kB.
        private static let early = 0...24_000
        /// Bytes of one that lives long.
        private static let late = 24_000...2_000_000
        private static let delays = 1...120

        package static func random(using random: inout SeededGenerator) -> Fate {
            let early = Int.random(in: Self.early, using: &random)
            let late = Int.random(in: Self.late, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0, 1: return .refused
            case 2...4: return .cutsRequest(after: early)
            case 5...8: return .truncatesAnswer(after: early)
            case 9: return .stalls(after: early)
            case 10...12: return .cutsRequest(after: late)
            case 13...15: return .truncatesAnswer(after: late)
            default:
                return .slow(
                    milliseconds: Int.random(in: Self.delays, using: &random), bytes: late)
            }
        }
    }

    private struct State {
        var weather = Weather.rough
        var random: SeededGenerator
        var connections: [String: Int] = [:]
    }

    private let state: Mutex<State>

    package init(seed: UInt64) { state = Mutex(State(random: SeededGenerator(seed: seed))) }

    package func set(_ weather: Weather) { state.withLock { $0.weather = weather } }

    /// How many connections had which fate, by its name.
    package var connections: [String: Int] { state.withLock { $0.connections } }

    fileprivate var weather: Weather { state.withLock { $0.weather } }

    /// The filters of the next connection; nil refuses it.
    package func filters() -> (request: any RelayFilter, answer: any RelayFilter)? {
        let fate = state.withLock { state -> Fate? in
            guard state.weather == .rough else { return state.weather == .down ? .refused : nil }
            let fate = Fate.random(using: &state.random)
            state.connections[fate.name, default: 0] += 1
            return fate
        }
        switch fate {
        case .refused: return nil
        case .cutsRequest(let bytes): return (way(cutAfter: bytes), way())
        case .truncatesAnswer(let bytes): return (way(), way(cutAfter: bytes))
        case .stalls(let bytes): return (way(), way(stallAfter: bytes))
        case .slow(let milliseconds, let bytes):
            let delay = Duration.milliseconds(milliseconds)
            return (way(delay: delay), way(cutAfter: bytes, delay: delay))
        case nil: return (way(), way())
        }
    }

    private func way(
        cutAfter: Int? = nil, stallAfter: Int? = nil, delay: Duration? = nil
    ) -> RoughWay {
        RoughWay(network: self, cutAfter: cutAfter, stallAfter: stallAfter, delay: delay)
    }
}

/// One direction of a connection.
private struct RoughWay: RelayFilter {
    let network: RoughNetwork
    /// Bytes until it ends; nil for ever.
    let cutAfter: Int?
    /// Bytes until nothing more passes.
    let stallAfter: Int?
    let delay: Duration?
    /// Bytes that have come.
    private var count = 0

    init(network: RoughNetwork, cutAfter: Int?, stallAfter: Int?, delay: Duration?) {
        self.network = network
        self.cutAfter = cutAfter
        self.stallAfter = stallAfter
        self.delay = delay
    }

    mutating func pass(_ bytes: ByteBuffer) async throws -> (bytes: ByteBuffer, ends: Bool) {
        var bytes = bytes
        let before = count
        count += bytes.readableBytes
        let weather = network.weather
        if weather == .down { return (ByteBuffer(), true) }
        if let stallAfter, count > stallAfter {
            // It would never end by itself; in good weather it does.
            return (ByteBuffer(), weather == .good)
        }
        if weather == .good { return (bytes, false) }
        if let delay { try await Task.sleep(for: delay) }
        guard let cutAfter, count > cutAfter else { return (bytes, false) }
        let rest = bytes.readSlice(length: max(0, cutAfter - before)) ?? ByteBuffer()
        return (rest, true)
    }
}
