import JWTKit
import LogFields
import Logging
import RPC
import ServiceLifecycle
import Synchronization

/// The keys of one publisher, Auth or an issuer: read again and again ahead of need, and when a
/// token names a key that is not known. While the publisher does not answer, the last keys stay.
final class PublishedKeys: Service {
    typealias Instant = ContinuousClock.Instant

    /// How often the publisher is asked.
    struct Pace: Sendable {
        /// Between two readings that nobody waits for.
        var refresh: Duration
        /// Shortest time between two readings.
        var interval: Duration
    }

    /// Between two readings that nobody waits for, while they fail.
    private static let retryInterval: Duration = .seconds(30)
    /// Requests that wait for the next reading at once. Each holds some memory for seconds.
    private static let maximumWaiting = 1000

    private struct State {
        var readings: KeyReadings
        var keys: KeySet?
        /// When the keys that are used were last read.
        var read: Instant?
        /// The reading under way. A stored task, because all requests that need its answer share it
        /// and no request may cancel it for the others; `reading` is bounded in time.
        var reading: Task<KeySet, any Error>?
        var waiting = 0
    }

    private enum Lookup {
        case found(JWTKeyCollection?)
        case step(KeyReadings.Step)
    }

    /// Whose keys they are, for log lines and metrics.
    let name: String
    let pace: Pace
    private let read: @Sendable () async throws -> KeySet
    private let cache: TokenCache
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - cache: what was verified with former keys.
    ///   - read: asks the publisher, and is bounded in time.
    init(
        of name: String, _ pace: Pace, cache: TokenCache, logger: Logger,
        read: @escaping @Sendable () async throws -> KeySet
    ) {
        self.name = name
        self.pace = pace
        self.read = read
        self.cache = cache
        self.logger = logger
        state = Mutex(State(readings: KeyReadings(interval: pace.interval)))
    }

    /// The key of this name; nil if there is none, or if it does not serve this algorithm.
    ///
    /// - Parameter kid: nil for a token that names none: then the only key that serves the
    ///   algorithm.
    /// - Throws: `RPCFailure.unavailable` when the keys cannot be read now: the token may be good.
    func key(_ kid: String?, _ algorithm: TokenAlgorithm) async throws -> JWTKeyCollection? {
        let came = Instant.now
        while true {
            switch lookUp(kid, algorithm, came) {
            case .found(let key): return key
            case .step(.absent): return nil
            case .step(.unknown): throw Self.unavailable
            case .step(.read):
                // Whether it failed is what the next look finds.
                do { _ = try await refresh() } catch { try Task.checkCancellation() }
            case .step(.wait(let next)):
                try await wait(until: next)
            }
        }
    }

    /// The published set, for other verifiers.
    func document() async throws -> String {
        if let keys = state.withLock({ $0.keys }) { return keys.document }
        return try await refresh().document
    }

    /// How long ago the keys that are used were read; nil if they never were.
    var age: Duration? { state.withLock { $0.read.map { .now - $0 } } }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                var pause = self.pace.refresh
                do {
                    _ = try await self.refresh(endsWithTask: true)
                } catch  where !Task.isCancelled {
                    pause = min(pause, Self.retryInterval)
                    self.logger.warning(
                        "the keys of \(self.name) could not be read; keeping the last ones",
                        metadata: .fields([.error: "\(error)"]))
                } catch {
                    return
                }
                // No publisher calls the gateway when it has a new key.
                try? await Task.sleep(for: pause)
            }
        }
    }

    /// Reads the keys now, as they have changed.
    ///
    /// - Returns: whether they check other tokens than before.
    func readAgain() async throws -> Bool {
        let former = state.withLock { $0.keys }
        // A reading under way may have begun before the change.
        _ = try? await state.withLock({ $0.reading })?.value
        let fresh = try await refresh()
        return former.map { !$0.checksTheSame(as: fresh) } ?? false
    }

    /// Reads the keys, or waits for the answer that somebody else is waiting for.
    ///
    /// - Parameter endsWithTask: whether the end of this task ends the reading for all: the process
    ///   stops.
    @discardableResult
    func refresh(endsWithTask: Bool = false) async throws -> KeySet {
        let reading = state.withLock { state in
            if let reading = state.reading { return reading }
            let reading = Task { try await self.takeOver() }
            state.reading = reading
            state.readings.begin(now: .now)
            return reading
        }
        return try await withTaskCancellationHandler {
            try await reading.value
        } onCancel: {
            if endsWithTask { reading.cancel() }
        }
    }

    private func lookUp(
        _ kid: String?, _ algorithm: TokenAlgorithm, _ came: Instant
    ) -> Lookup {
        state.withLock { state in
            if let keys = state.keys {
                guard let kid else { return .found(keys.only(algorithm)) }
                if keys.knows(kid) { return .found(keys.key(kid, algorithm)) }
            }
            return .step(state.readings.step(came, now: .now))
        }
    }

    /// - Throws: `RPCFailure.unavailable` when too many wait already.
    private func wait(until next: Instant) async throws {
        let isIn = state.withLock { state in
            guard state.waiting < Self.maximumWaiting else { return false }
            state.waiting += 1
            return true
        }
        guard isIn else { throw Self.unavailable }
        defer { state.withLock { $0.waiting -= 1 } }
        try await Task.sleep(until: next, clock: .continuous)
    }

    private func takeOver() async throws -> KeySet {
        let answer: Result<KeySet, any Error>
        do { answer = .success(try await read()) } catch { answer = .failure(error) }
        let isOther = state.withLock { state in
            state.reading = nil
            state.readings.end(now: .now, failed: (try? answer.get()) == nil)
            guard case .success(let fresh) = answer else { return false }
            let isOther = state.keys.map { !$0.checksTheSame(as: fresh) } ?? true
            state.keys = fresh
            state.read = .now
            return isOther
        }
        // After the change: what is verified meanwhile with former keys is not kept.
        if isOther { cache.clear() }
        return try answer.get()
    }

    private static let unavailable = RPCFailure.unavailable(
        "The keys that check tokens are not available")
}
