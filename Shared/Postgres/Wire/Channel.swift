import CLibPQ
import Dispatch
import Glibc
import Logging
import Synchronization

/// One libpq connection, driven without blocking: the caller's thread sends, the poller's reads.
///
/// It runs one ``Exchange`` at a time. The rules of libpq live in the exchanges, those of stopping
/// one in ``Interruption``; this type holds the lock and carries out what they decide.
final class Channel: Timed {
    typealias Instant = ContinuousClock.Instant
    typealias Completion = @Sendable (PostgresError?) -> Void

    private struct Running {
        let exchange: any Exchange
        let completion: Completion
        var interruption: Interruption
        /// Set when the exchange is over but a cancel request is still under way: the next exchange
        /// must not begin before it has hit or missed.
        var outcome: PostgresError??

        /// The server's "cancelled by request" is ours when we asked for it.
        ///
        /// A commit that succeeds after we have asked fails, too. The request may have ended its
        /// wait for synchronous standbys, and PostgreSQL then reports success though none of them
        /// may have it.
        func verdict(on error: PostgresError?) -> PostgresError? {
            guard let reason = interruption.reason else { return error }
            guard let error else { return exchange.commits ? PostgresError(reason) : nil }
            guard error.sqlState == .queryCanceled else { return error }
            return PostgresError(
                reason, statementName: error.statementName, commandIndex: error.commandIndex)
        }
    }

    private enum Phase {
        case unopened
        /// The system looks the host's name up, which cannot be stopped: what it finds too late is dropped.
        case lookingUp(Completion, deadline: Instant)
        case idle
        case running(Running)
        case closed(PostgresError)
    }

    private struct State {
        var phase = Phase.unopened
        var connection: OpaquePointer?
        var token: UInt64 = 0
        var interest: Interest?
    }

    /// What follows from a step, done after the lock is released.
    private enum Effect: Sendable {
        case complete(Completion, PostgresError?)
        case closed(PostgresError)
        case cancel(CancelRequest?, any Exchange)
        case remember(Instant)
    }

    private let state = Mutex(State())
    private let poller: Poller
    private let notices: NoticeSink
    private let grace: Duration
    private let onClose: @Sendable (PostgresError) -> Void

    /// - Parameters:
    ///   - grace: how long the server has to stop an exchange that is interrupted.
    ///   - onClose: called once, when an opened connection is closed for any reason.
    init(
        logger: Logger, poller: Poller = .shared, grace: Duration = Interruption.grace,
        onClose: @escaping @Sendable (PostgresError) -> Void
    ) {
        self.poller = poller
        self.grace = grace
        self.onClose = onClose
        notices = NoticeSink(logger: logger)
    }

    var isClosed: Bool {
        state.withLock { if case .closed = $0.phase { true } else { false } }
    }

    /// Whether a transaction is open, failed, or something is running; `PQTRANS_UNKNOWN` if closed.
    var transactionStatus: PGTransactionStatusType {
        state.withLock { state in
            state.connection.map { PQtransactionStatus($0) } ?? PQTRANS_UNKNOWN
        }
    }

    /// The server process behind the connection; nil if closed.
    var backendProcess: Int32? {
        state.withLock { state in state.connection.map { PQbackendPID($0) } }
    }

    /// By libpq, from the password and the role's name alone: nothing is sent.
    func encryptedPassword(_ password: String, of role: String) throws(PostgresError) -> String {
        let (isOpen, encrypted) = state.withLock { state -> (Bool, String?) in
            guard let connection = state.connection else { return (false, nil) }
            guard let text = PQencryptPasswordConn(connection, password, role, "scram-sha-256")
            else { return (true, nil) }
            defer { PQfreemem(text) }
            return (true, String(cString: text))
        }
        guard isOpen else { throw PostgresError(.connectionLost) }
        guard let encrypted else {
            throw PostgresError(.misuse("the password cannot be encrypted"))
        }
        return encrypted
    }

    /// Connects. Files are read and host names looked up on a thread that may block, within the deadline as everything
    /// else.
    func open(
        keywords: @escaping @Sendable () -> [String: String],
        addresses: HostAddresses = HostAddresses(), deadline: Instant,
        completion: @escaping Completion
    ) {
        let isFirst = state.withLock { state in
            guard case .unopened = state.phase else { return false }
            state.token = poller.add(self)
            state.phase = .lookingUp(completion, deadline: deadline)
            return true
        }
        guard isFirst else { return completion(PostgresError(.connectionLost)) }
        poller.remember(deadline)
        DispatchQueue.blocking("postgres.resolve").async {
            do throws(PostgresError) {
                let connection = Self.startConnecting(try addresses.adding(to: keywords()))
                guard let connection else {
                    throw PostgresError(.connectFailed("out of memory"))
                }
                // Closed during the look-up, and `completion` was called then.
                guard self.install(connection) else { return PQfinish(connection) }
            } catch {
                return self.close(because: error)
            }
            self.start(ConnectExchange(), deadline: deadline, completion: completion)
        }
    }

    /// Runs an exchange and calls `completion` when the connection is ready for another or closed.
    ///
    /// - Parameter heedsCancellation: refuse if the current task is cancelled. The check is made
    ///   under the lock that `interrupt` takes, so that no cancellation falls between the two.
    func start(
        _ exchange: any Exchange, deadline: Instant?, heedsCancellation: Bool = false,
        completion: @escaping Completion
    ) {
        let effects = state.withLock { state -> [Effect] in
            if let refusal = refusal(state, deadline, heedsCancellation) {
                return [.complete(completion, refusal)]
            }
            guard let connection = state.connection else { return [] }
            switch exchange.begin(connection) {
            case .refused(let error):
                return [.complete(completion, error)]
            case .broken(let error):
                return close(&state, because: error) + [.complete(completion, error)]
            case .sent:
                break
            }
            let interruption = Interruption(
                deadline: deadline, closesAtOnce: exchange.interruptsByClosing, grace: grace)
            state.phase = .running(
                Running(exchange: exchange, completion: completion, interruption: interruption))
            let effects = drive(&state)
            guard let deadline, case .running = state.phase else { return effects }
            return effects + [.remember(deadline)]
        }
        perform(effects)
    }

    /// Stops `exchange` if it is still running.
    func interrupt(_ exchange: any Exchange, because reason: PostgresError.Kind) {
        perform(
            state.withLock { state in
                guard case .running(var running) = state.phase, running.exchange === exchange
                else { return [] }
                let action = running.interruption.interrupt(reason, now: .now)
                state.phase = .running(running)
                return carryOut(action, &state)
            })
    }

    /// Closes the connection; what is running ends with `error`, as does opening it.
    func close(because error: PostgresError = PostgresError(.connectionLost)) {
        perform(state.withLock { close(&$0, because: error) })
    }

    /// Called by the poller when the socket is ready or broken.
    func ready() {
        perform(
            state.withLock { state in
                guard let connection = state.connection, state.interest != nil else { return [] }
                // While connecting, PQconnectPoll does its own reading.
                let isConnected = PQstatus(connection) == CONNECTION_OK
                let isAlive = !isConnected || PQconsumeInput(connection) == 1
                if case .running = state.phase { return drive(&state) }
                // Reads notices and the server's farewell; there is nothing else when idle.
                _ = PQisBusy(connection)
                return isAlive && PQstatus(connection) == CONNECTION_OK
                    ? [] : close(&state, because: PostgresError(.connectionLost))
            })
    }

    func tick(now: Instant) -> Instant? {
        let (effects, next) = state.withLock { state -> ([Effect], Instant?) in
            if case .lookingUp(_, let deadline) = state.phase {
                if now < deadline { return ([], deadline) }
                return (close(&state, because: PostgresError(.deadlineExceeded)), nil)
            }
            guard case .running(var running) = state.phase else { return ([], nil) }
            let action = running.interruption.tick(now: now)
            state.phase = .running(running)
            let effects = carryOut(action, &state)
            guard case .running(let running) = state.phase else { return (effects, nil) }
            return (effects, running.interruption.nextTick)
        }
        perform(effects)
        return next
    }

    private static func startConnecting(_ keywords: [String: String]) -> OpaquePointer? {
        let names = keywords.keys.map { strdup($0) } + [nil]
        let values = keywords.values.map { strdup($0) } + [nil]
        defer { for text in names + values { free(text) } }
        return PQconnectStartParams(
            names.map { UnsafePointer($0) }, values.map { UnsafePointer($0) }, 0)
    }

    private func install(_ connection: OpaquePointer) -> Bool {
        PQsetNoticeProcessor(connection, NoticeSink.processor, notices.pointer)
        // Puts the code of a refused connection into libpq's text, where alone it can be found.
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
        let address = UInt(bitPattern: connection)
        return state.withLock { state in
            guard case .lookingUp = state.phase else { return false }
            state.connection = OpaquePointer(bitPattern: address)
            state.phase = .idle
            return true
        }
    }

    private func refusal(
        _ state: borrowing State, _ deadline: Instant?, _ heedsCancellation: Bool
    ) -> PostgresError? {
        switch state.phase {
        case .unopened, .lookingUp:
            return PostgresError(.misuse("the connection is not open yet"))
        case .running: return PostgresError(.misuse("the connection is in use by another task"))
        case .closed(let error): return error
        case .idle: break
        }
        if heedsCancellation, Task.isCancelled { return PostgresError(.cancelled) }
        if let deadline, deadline <= .now { return PostgresError(.deadlineExceeded) }
        return nil
    }

    /// Lets the running exchange take what is there, and settles what the socket is watched for.
    private func drive(_ state: inout State) -> [Effect] {
        guard case .running(let running) = state.phase, let connection = state.connection,
            running.outcome == nil
        else { return [] }
        // Not before it is connected: libpq asserts that.
        let pending = PQstatus(connection) == CONNECTION_OK ? PQflush(connection) : 0
        switch running.exchange.advance(connection) {
        case .waiting(let interest):
            let isConnecting = interest != nil
            if pending < 0 || (!isConnecting && PQstatus(connection) != CONNECTION_OK) {
                return close(&state, because: PostgresError(.connectionLost))
            }
            watch(&state, for: interest ?? (pending > 0 ? .readWrite : .read))
            return []
        case .paused:
            unwatch(&state)
            return finish(&state, running, nil)
        case .finished(let error):
            if PQstatus(connection) != CONNECTION_OK {
                return close(&state, because: PostgresError(.connectionLost))
            }
            watch(&state, for: .read)
            return finish(&state, running, error)
        case .broken(let error):
            return close(&state, because: error)
        }
    }

    private func finish(
        _ state: inout State, _ running: Running, _ error: PostgresError?
    ) -> [Effect] {
        if running.interruption.cancelInFlight {
            var running = running
            running.outcome = .some(error)
            state.phase = .running(running)
            return []
        }
        state.phase = .idle
        return [.complete(running.completion, running.verdict(on: error))]
    }

    private func carryOut(_ action: Interruption.Action?, _ state: inout State) -> [Effect] {
        guard let action, case .running(let running) = state.phase,
            let connection = state.connection
        else { return [] }
        switch action {
        case .close:
            let reason = running.interruption.reason ?? .connectionLost
            return close(&state, because: PostgresError(reason))
        case .sendCancel:
            running.exchange.discardRest()
            let request = Effect.cancel(CancelRequest(connection), running.exchange)
            return [request] + (running.interruption.nextTick.map { [.remember($0)] } ?? [])
        }
    }

    private func cancelReturned(_ exchange: any Exchange) {
        perform(
            state.withLock { state in
                guard case .running(var running) = state.phase, running.exchange === exchange
                else { return [] }
                running.interruption.cancelReturned(now: .now)
                state.phase = .running(running)
                if let outcome = running.outcome { return finish(&state, running, outcome) }
                return running.interruption.nextTick.map { [.remember($0)] } ?? []
            })
    }

    private func close(_ state: inout State, because error: PostgresError) -> [Effect] {
        if case .closed = state.phase { return [] }
        var effects: [Effect] = []
        if case .running(let running) = state.phase {
            let outcome = running.outcome ?? .some(error)
            if running.exchange is ConnectExchange, error.kind == .deadlineExceeded,
                let connection = state.connection, let address = PQhostaddr(connection)
            {
                HostAddresses.rememberSilence(
                    of: String(cString: address), port: String(cString: PQport(connection)))
            }
            effects.append(.complete(running.completion, running.verdict(on: outcome)))
        }
        if case .lookingUp(let completion, _) = state.phase {
            poller.remove(token: state.token)
            effects.append(.complete(completion, error))
        }
        if let connection = state.connection {
            unwatch(&state)
            poller.remove(token: state.token)
            PQfinish(connection)
            state.connection = nil
            effects.append(.closed(error))
        }
        state.phase = .closed(error)
        return effects
    }

    private func watch(_ state: inout State, for interest: Interest) {
        guard let connection = state.connection else { return }
        // While connecting, the socket may be another one than before.
        if state.interest == interest, PQstatus(connection) == CONNECTION_OK { return }
        poller.watch(
            PQsocket(connection), token: state.token, for: interest,
            previously: state.interest != nil)
        state.interest = interest
    }

    private func unwatch(_ state: inout State) {
        guard let connection = state.connection, state.interest != nil else { return }
        poller.unwatch(PQsocket(connection))
        state.interest = nil
    }

    private func perform(_ effects: [Effect]) {
        for effect in effects {
            switch effect {
            case .complete(let completion, let error): completion(error)
            case .closed(let error): onClose(error)
            case .remember(let instant): poller.remember(instant)
            case .cancel(let request, let exchange):
                if let request {
                    request.send { self.cancelReturned(exchange) }
                } else {
                    cancelReturned(exchange)
                }
            }
        }
    }
}
