import Model
import Protos
import RPC
import Synchronization

/// Announces the growth of one user's log to one device, as a Download replica reports it. When
/// that replica goes away, another takes over.
///
/// Thousands of watches wait for days, so each has one task only: the one that writes to the
/// device. Callers store news here and return.
final class Watch: Sendable {
    /// Time between two comments that show that the stream is alive.
    static let heartbeat: Duration = .seconds(25)
    /// When devices come back after the gateway has sent them away, in milliseconds: each at another moment, so that
    /// the next one is not asked by all at once.
    static let returnMilliseconds = 500...1500

    private struct State {
        var words: WatchWords
        /// Something was put down since the reader looked.
        var isChanged = false
        var reader: CheckedContinuation<Void, Never>?
        var subscription: RPCSubscription?
        var reopening: Task<Void, Never>?
    }

    private let download: RPCClient
    /// Empty when the device did not say.
    private let epoch: String
    /// What the device knew of the history when it began; nil when it did not say.
    private let pair: HistoryPair?
    /// The fingerprint of the tables that the device takes for readable; empty when it did not say.
    private let readable: String
    /// Its deadline ends the watch.
    private let context: CallContext
    private let place: Watchers.Place
    private let state: Mutex<State>

    /// - Parameter place: kept as long as the watch is.
    init(
        after: Int64, epoch: String, pair: HistoryPair?, readable: String, download: RPCClient,
        context: CallContext, place: Watchers.Place
    ) {
        self.download = download
        self.epoch = epoch
        self.pair = pair
        self.readable = readable
        self.context = context
        self.place = place
        state = Mutex(State(words: WatchWords(after: after)))
    }

    deinit {
        state.withLock { $0.reopening }?.cancel()
    }

    // MARK: - For the one who reads

    /// Begins, and returns when the replica's first word has come.
    ///
    /// - Parameter latest: a replica that has said nothing by then will not.
    /// - Throws: `RPCFailure`: `history_pruned` and the like, or `unavailable`.
    func open(by latest: ContinuousClock.Instant) async throws(RPCFailure) {
        place.take(self)
        place.ring(self, at: min(latest, context.deadline, .now + Self.heartbeat))
        let opening: WatchWords.Opening = await withTaskCancellationHandler {
            do throws(RPCFailure) {
                try await subscribe()
                return await look { $0.opening }
            } catch {
                return .refused(error)
            }
        } onCancel: {
            end()
        }
        if case .refused(let failure) = opening { throw failure }
    }

    /// What to tell the device next; nil at the end.
    func next() async -> WatchEvent? {
        await look { words in
            if let event = words.next() { return .some(event) }
            return words.isOver ? .some(nil) : nil
        }
    }

    /// Nothing more is to come.
    func end(_ failure: RPCFailure = .cancelled) {
        end { $0.end(failure) }
    }

    /// Sends the device away, as the gateway goes down.
    func sayGoodbye() {
        let pause = Duration.milliseconds(Int.random(in: Self.returnMilliseconds))
        end { $0.sayGoodbye(pause: pause) }
    }

    private func end(_ how: (inout WatchWords) -> Void) {
        let (reopening, subscription) = change { state in
            how(&state.words)
            defer { (state.reopening, state.subscription) = (nil, nil) }
            return (state.reopening, state.subscription)
        }
        reopening?.cancel()
        // Its end, which cancels the call, comes after the lock.
        withExtendedLifetime(subscription) {}
    }

    private func look<Found: Sendable>(
        _ find: @Sendable (inout WatchWords) -> Found?
    ) async -> Found {
        while true {
            let found = state.withLock { state in
                state.isChanged = false
                return find(&state.words)
            }
            if let found { return found }
            await changed()
        }
    }

    private func changed() async {
        await withCheckedContinuation { continuation in
            let hasChanged = state.withLock { state in
                if !state.isChanged { state.reader = continuation }
                return state.isChanged
            }
            if hasChanged { continuation.resume() }
        }
    }

    private func change<Result>(_ change: (inout State) -> Result) -> Result {
        let (result, reader) = state.withLock { state in
            let result = change(&state)
            state.isChanged = true
            defer { state.reader = nil }
            return (result, state.reader)
        }
        reader?.resume()
        return result
    }

    // MARK: - The replica

    private func subscribe() async throws(RPCFailure) {
        var request = WatchHeadRequest()
        request.after = state.withLock { $0.words.head }
        request.epoch = epoch
        request.readable = readable
        if let pair { (request.historySeq, request.historyTag) = (pair.sequence, pair.tag) }
        let subscription = try await download.subscribe(
            DownloadRPC.watchHead, request, context: context
        ) { [weak self] in self?.hear($0) }
        let (mustReopen, dropped) = state.withLock { state in
            // Over meanwhile: let go of it at once.
            guard !state.words.isOver else { return (false, subscription as RPCSubscription?) }
            let former = state.subscription
            state.subscription = subscription
            return (state.words.began(), former)
        }
        withExtendedLifetime(dropped) {}
        if mustReopen { reopen() }
    }

    private func hear(_ event: RPCStreamEvent<WatchHeadReply>) {
        switch event {
        case .part(let reply):
            change { $0.words.hear(reply.message.highestServerSeq) }
        case .end(let failure):
            if change({ $0.words.lost(failure) }) { reopen() }
        }
    }

    /// Asks another replica after a pause, so that watches whose replica has gone do not all ask at
    /// the same moment. Nobody waits for it: it is a task of its own, which ends with the watch.
    private func reopen() {
        let jitter = Double.random(in: 0...1)
        let pause = state.withLock { $0.words.takePause(jitter: jitter) }
        let task = Task { [weak self] in
            try? await Task.sleep(for: pause)
            await self?.tryAgain()
        }
        let isOver = state.withLock { state in
            if !state.words.isOver { state.reopening = task }
            return state.words.isOver
        }
        if isOver { task.cancel() }
    }

    private func tryAgain() async {
        guard !state.withLock({ $0.words.isOver }) else { return }
        do throws(RPCFailure) {
            try await subscribe()
        } catch {
            let goesOn = change { state in
                _ = state.words.began()
                return state.words.lost(error)
            }
            if goesOn { reopen() }
        }
    }

    // MARK: - Time

    /// A comment is due, or the end.
    func ring() {
        guard .now < context.deadline, change({ $0.words.comment() }) else {
            return end(.deadlineExceeded)
        }
        place.ring(self, at: min(context.deadline, .now + Self.heartbeat))
    }
}
