import Foundation
import GRDB
import Synchronization

/// The background loop: asks `LoopMachine` what to do next, and does it.
struct SyncLoop: Sendable {
    let session: SyncSession
    let wake: Signal
    /// Raised together with `.localChange`, so that `Standstill` notices writes.
    let touched: Signal
    let fetch: @Sendable () async throws -> Void
    /// Returns when the next rejected row is due.
    let send: @Sendable () async throws -> Double?

    /// Runs until the task is cancelled.
    func run() async {
        let observer = LocalChangeObserver { [wake, touched] in
            wake.raise(.localChange)
            touched.raise(.localChange)
        }
        session.database.add(transactionObserver: observer)
        // The app may have written before the observer was added.
        wake.raise(.localChange)
        await loop()
        session.database.remove(transactionObserver: observer)
    }

    private func loop() async {
        // The watch stream runs in parallel with the loop and ends with it.
        await withDiscardingTaskGroup { group in
            await loop(&group)
            group.cancelAll()
        }
    }

    private func loop(_ group: inout DiscardingTaskGroup) async {
        let configuration = session.configuration
        let link = WatchLink(wake: wake)
        var machine = LoopMachine(
            pollInterval: configuration.pollInterval, canPoll: configuration.longPoll != nil,
            canWatch: configuration.watch && configuration.transport.canStream,
            backoff: configuration.backoff)
        while !Task.isCancelled {
            let reasons = wake.take()
            if reasons.contains(.localChange) { machine.localChange() }
            if reasons.contains(.nudge) { machine.nudged() }
            machine.paused(session.pauses.withLock { $0 > 0 })
            for report in link.take() {
                machine.heard(report, now: session.now, jitter: configuration.randomness())
            }
            if machine.mustEndWatch { link.end() }
            do {
                let next = machine.next(now: session.now)
                if next == .watch {
                    machine.watchBegan()
                    link.begin()
                    let stream = WatchStream(session: session, link: link)
                    group.addTask { await stream.run() }
                } else {
                    try await step(next, &machine, reasons)
                }
            } catch SyncError.paused {
                // Sync was paused while this waited for the lock; the machine learns of it in the
                // next round.
            } catch let error as SyncError {
                await failed(error, &machine)
            } catch {
                if Task.isCancelled { return }
                await failed(.database("\(error)"), &machine)
            }
        }
    }

    private var standstill: Standstill { Standstill(session: session, touched: touched) }

    private func step(
        _ next: LoopMachine.Step, _ machine: inout LoopMachine, _ reasons: WakeReasons
    ) async throws {
        switch next {
        case .watch: break
        case .fetch:
            try await standstill.watch(fetch)
            machine.fetched(now: session.now)
            fetched()
        case .send:
            machine.sent(retryAt: try await standstill.watch(send))
            exchanged()
        case .wait(let until, let poll):
            // Update the counts of pending edits also while offline.
            if reasons.contains(.localChange) { try await session.refreshCounts() }
            showWaiting()
            try await wait(until: until, poll: poll, &machine)
        }
    }

    /// Clears the last error: something worked, even if nothing needed to be sent. `noProgress`
    /// stays, because fetching does not show that rows get through.
    private func fetched() {
        session.board.update { status in
            if case .noProgress? = status.lastError { return }
            status.lastError = nil
        }
    }

    private func exchanged() {
        session.board.update { status in
            // Rows that the server keeps rejecting do not count as exchanged.
            if case .noProgress? = status.lastError, session.isStuck { return }
            status.lastError = nil
            status.recordSync(at: session.configuration.clock.now)
        }
    }

    private func showWaiting() {
        let isPaused = session.pauses.withLock { $0 > 0 }
        session.board.update { status in
            if isPaused {
                status.state = .paused
            } else if status.lastError == nil {
                status.state = .idle
            }
        }
    }

    private func failed(_ error: SyncError, _ machine: inout LoopMachine) async {
        let next = machine.failed(
            error, now: session.now, jitter: session.configuration.randomness())
        session.board.update { status in
            status.lastError = error
            status.endTransfers()
            status.state = next.map { .waiting(until: Date(timeIntervalSince1970: $0)) } ?? .blocked
        }
        // Update the counts even though the exchange failed.
        try? await session.refreshCounts()
    }

    /// What ended a wait.
    private enum Waking: Sendable {
        case time, signal
        case news(Bool, seconds: Double)
    }

    /// Waits for the first of several events and cancels the other waits.
    private func wait(until: Double?, poll: Bool, _ machine: inout LoopMachine) async throws {
        let waking = try await withThrowingTaskGroup(of: Waking.self) { group in
            group.addTask {
                await wake.wait()
                return .signal
            }
            if let until {
                group.addTask {
                    try await session.configuration.clock.sleep(seconds: until - session.now)
                    return .time
                }
            }
            if poll { group.addTask { try await askForNews() } }
            defer { group.cancelAll() }
            return try await group.next() ?? .time
        }
        if case .news(let hasNews, let seconds) = waking {
            let held = Double(session.configuration.longPoll ?? 0)
            machine.polled(hasNews: hasNews, early: seconds < held / 2, now: session.now)
        }
    }

    /// Asks the gateway to answer once there is something after the cursor. The answer is not
    /// applied: the page is fetched again while the lock is held, so that this wait can be
    /// cancelled at any time.
    private func askForNews() async throws -> Waking {
        let start = session.now
        let state = try await session.read { db in try DeviceStateTable(db: db).read() }
        do {
            let page = try await session.gateway.download(
                after: state.cursor, limit: 1, until: 0, includeSelf: false,
                wait: session.configuration.longPoll, history: state.history,
                tables: state.tables, tellsTables: !session.namesNoTables)
            let areOthers = page.tables.map { $0 != state.tables } ?? false
            let hasNews = !page.changes.isEmpty || page.nextAfter > state.cursor || areOthers
            return .news(hasNews, seconds: session.now - start)
        } catch let error as SyncError where error.asksForReread {
            // The following fetch receives the same error and rereads the log.
            return .news(true, seconds: session.now - start)
        }
    }
}
