import NIOCore
import Synchronization

/// Takes a gateway down as `DrainMachine` says: knows each request in flight and each connection.
final class Drain: Sendable {
    struct State {
        var machine: DrainMachine
        /// How to give up what a request waits for, by the request's number.
        var interruptions: [Int: @Sendable () -> Void] = [:]
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// No connection is to be served any more.
        var isCut = false
        var connectionsCut = 0
    }

    let state: Mutex<State>
    /// The same as the machine's, for those who ask often.
    private let hasBegun = Atomic(false)
    private let wakeUps: AsyncStream<Void>
    let wakeUp: AsyncStream<Void>.Continuation

    /// - Parameter longest: time for all requests in flight to end.
    init(longest: Duration) {
        state = Mutex(State(machine: DrainMachine(longest: longest)))
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Whether the gateway refuses what is new.
    var isDraining: Bool { hasBegun.load(ordering: .acquiring) }

    /// Requests that have come and whose answers have not left.
    var requestsInFlight: Int { state.withLock { $0.machine.requestsInFlight } }

    /// Connections that were closed in the end without asking their clients.
    var connectionsCut: Int { state.withLock { $0.connectionsCut } }

    // MARK: - Requests

    /// A request has come.
    ///
    /// - Returns: nil refuses it.
    func admit(deadline: ContinuousClock.Instant) -> Admission? {
        state.withLock { $0.machine.requestBegan(deadline: deadline) }
            .map { Admission(id: $0, drain: self) }
    }

    // MARK: - Connections

    /// A connection has come; it is known until it closes.
    func opened(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        let isCut = state.withLock { state in
            state.channels[id] = channel
            state.machine.connectionOpened()
            return state.isCut
        }
        channel.closeFuture.whenComplete { _ in self.closed(id) }
        if isCut { channel.cut() }
    }

    private func closed(_ id: ObjectIdentifier) {
        state.withLock { state in
            guard state.channels.removeValue(forKey: id) != nil else { return }
            state.machine.connectionClosed()
        }
        if isDraining { wakeUp.yield() }
    }

    private var channels: [any Channel] { state.withLock { Array($0.channels.values) } }

    // MARK: - The way down

    /// Drains, and returns when the process may end. Cancellation ends it at once.
    ///
    /// - Parameter port: accepts connections; closed on the way.
    func run(port: any Channel) async {
        begin()
        var alarm: Scheduled<Void>?
        steps: for await _ in wakeUps {
            alarm?.cancel()
            switch state.withLock({ $0.machine.step(now: .now) }) {
            case .wait(let until):
                alarm = until.map { instant in
                    port.eventLoop.scheduleTask(in: TimeAmount(max(.zero, instant - .now))) {
                        self.wakeUp.yield()
                    }
                }
            case .close:
                port.close(promise: nil)
                for channel in channels { channel.close(promise: nil) }
                wakeUp.yield()
            case .end: break steps
            }
        }
        alarm?.cancel()
        cut(port)
    }

    private func begin() {
        hasBegun.store(true, ordering: .releasing)
        let interruptions = state.withLock { state in
            state.machine.begin(now: .now)
            defer { state.interruptions = [:] }
            return Array(state.interruptions.values)
        }
        for giveUp in interruptions { giveUp() }
        for channel in channels {
            channel.pipeline.fireUserInboundEventTriggered(DrainBegan())
        }
        wakeUp.yield()
    }

    /// Closes everything without asking the clients.
    func cut(_ port: any Channel) {
        port.close(promise: nil)
        let channels = state.withLock { state in
            state.isCut = true
            state.connectionsCut = state.channels.count
            return Array(state.channels.values)
        }
        for channel in channels { channel.cut() }
    }
}

/// Tells a connection that the gateway goes down: it says so to its client, and closes once it owes no answer.
struct DrainBegan: Sendable {}
