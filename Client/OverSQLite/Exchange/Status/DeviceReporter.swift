import Foundation
import GRDB
import Synchronization

/// Makes the device's reports when they are due.
final class DeviceReporter: Sendable {
    private let database: any DatabaseReader
    private let configuration: SyncConfiguration
    private let board: StatusBoard
    private let pace = Mutex(ReportPace())

    init(database: any DatabaseReader, configuration: SyncConfiguration, board: StatusBoard) {
        (self.database, self.configuration, self.board) = (database, configuration, board)
    }

    /// What goes with each request. Nothing if the app wants none.
    var reporting: Reporting {
        guard configuration.reports else { return Reporting() }
        return Reporting(
            report: { isUpload in await self.report(withUpload: isUpload) },
            told: {
                let now = self.now
                self.pace.withLock { $0.record(at: now) }
            })
    }

    private var now: Double { configuration.clock.now.timeIntervalSince1970 }

    /// The value of the header; nil if none is due, or the database cannot be read now: whatever is
    /// wrong with it, the request itself will say.
    private func report(withUpload isUpload: Bool) async -> String? {
        let now = now
        guard pace.withLock({ $0.isDue(withUpload: isUpload, now: now) }) else { return nil }
        var report = DeviceReport()
        let status = board.status
        report.app = configuration.appVersion
        report.schema = configuration.schema
        report.error = status.lastError?.code
        report.notices = status.notices
        report.time = Int64(exactly: now.rounded()) ?? 0
        let made = report
        return try? await SyncSession.read(from: database) { db in
            var report = made
            let state = try DeviceStateTable(db: db).read()
            (report.epoch, report.cursor) = (state.epoch, max(state.cursor, state.resumeAt))
            let queue = try PendingQueue(db: db).totals()
            (report.pending, report.rejected) = (queue.pending, queue.rejected)
            (report.oldest, report.reason) = (queue.oldest, queue.reason)
            report.held = try HeldRows(db: db).count()
            return report.header
        }
    }
}
