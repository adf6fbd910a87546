import GRDB
import Observation
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// The status as views observe it.
@MainActor @Suite(.timeLimit(.minutes(1))) struct ObservableStatusTests {
    /// Returns when the observed status is as wished, looking only after a notification of a
    /// change.
    private static func status(
        _ sync: ObservableSyncStatus, until isReached: @escaping @Sendable (SyncStatus) -> Bool
    ) async {
        while true {
            let (changes, change) = AsyncStream.makeStream(of: Void.self)
            let isThere = withObservationTracking {
                isReached(sync.status)
            } onChange: {
                change.finish()
            }
            if isThere { return }
            for await _ in changes {}
        }
    }

    @Test("an exchange by hand beside the loops leaves the status as idle as it was")
    func byHand() async throws {
        let device = try Device()
        let sync = device.engine.observableStatus
        try await device.engine.start()
        await Self.status(sync) { $0.lastSynced != nil && $0.state == .idle }
        try await device.engine.fetchChanges()
        #expect(device.engine.status.state == .idle)
        try await device.engine.syncChanges()
        #expect(device.engine.status.state == .idle)
        await device.engine.stop()
    }

    @Test("observers see edits counted, sent and confirmed, as they happen")
    func observed() async throws {
        let device = try Device()
        let sync = device.engine.observableStatus
        #expect(sync.state == .stopped && sync.pendingCount == 0)
        device.engine.pause()
        try await device.engine.start()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        await Self.status(sync) { $0.pendingCount == 1 }
        device.engine.resume()
        await Self.status(sync) { $0.pendingCount == 0 && $0.state == .idle }
        #expect(sync.hasFinishedFirstSync && sync.lastSynced != nil)
        await device.engine.stop()
        #expect(sync.state == .stopped)
        #expect(sync === device.engine.observableStatus)
    }

    @Test("an update to the same status tells nobody")
    func same() {
        let sync = ObservableSyncStatus(SyncStatus())
        let told = Mutex(0)
        withObservationTracking {
            _ = sync.pendingCount
        } onChange: {
            told.withLock { $0 += 1 }
        }
        sync.update(to: SyncStatus())
        #expect(told.withLock { $0 } == 0)
        var status = SyncStatus()
        status.pendingCount = 3
        sync.update(to: status)
        #expect(told.withLock { $0 } == 1)
        #expect(sync.pendingCount == 3)
    }

    @Test("after updates from many tasks at once the newest status is seen")
    func concurrent() async {
        let board = StatusBoard()
        let sync = board.observed.object(of: board)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { board.update { $0.pendingCount += 1 } } }
        }
        await Self.status(sync) { $0.pendingCount == 100 }
        #expect(sync.status == board.status)
    }
}
