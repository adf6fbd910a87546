import Foundation
import OverSQLite

/// Tells what the demonstration does while it does it.
struct Narrator: Sendable {
    /// Seconds between two lines about one long step.
    private static let interval = 1.0

    let say: @Sendable (String) -> Void

    /// Runs a step on a device and tells its rows, requests and pace, and each conflict it settles.
    func measure(
        _ label: String, _ device: DemoDevice, _ step: @escaping @Sendable () async throws -> Void
    ) async throws {
        let before = device.transport.total
        let start = Date()
        let events = device.engine.events
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await tell(events, of: device) }
            group.addTask { try await follow(label, device, since: before, start) }
            try await step()
            group.cancelAll()
        }
        let traffic = device.transport.total - before
        say("\(label): \(describe(traffic, in: Date().timeIntervalSince(start)))")
    }

    private func follow(
        _ label: String, _ device: DemoDevice, since before: CountingTransport.Traffic,
        _ start: Date
    ) async throws {
        var last = start
        for await _ in device.engine.statusUpdates {
            guard Date().timeIntervalSince(last) > Self.interval else { continue }
            last = Date()
            say(
                "  … \(describe(device.transport.total - before, in: last.timeIntervalSince(start)))"
            )
        }
    }

    private func tell(_ events: AsyncStream<SyncEvent>, of device: DemoDevice) async {
        for await event in events {
            switch event {
            case .conflict(let report):
                let columns =
                    report.columns.isEmpty ? "" : " (\(report.columns.joined(separator: ", ")))"
                say(
                    "  conflict on \(device.name): \(report.table) \(report.key): \(report.outcome)\(columns)"
                )
            case .rejected(let row):
                say(
                    "  rejected on \(device.name): \(row.table) \(row.key): \(row.reason) \(row.message ?? "")"
                )
            case .reread(let report):
                say(
                    "  \(device.name) read everything again (\(report.reason.rawValue)): \(report.resentRows) rows sent again, \(report.removedRows) removed"
                )
            case .drift(let report):
                say(
                    "  \(report.rows) rows of \(report.table) on \(device.name) were not the "
                        + "server's: \(report.repaired) repaired")
            case .access(let report):
                say(
                    "  \(device.name) may read other tables: \(report.opened) opened, "
                        + "\(report.closed) closed, \(report.removedRows) rows removed")
            }
        }
    }

    private func describe(_ traffic: CountingTransport.Traffic, in seconds: TimeInterval) -> String
    {
        let rows = traffic.rowsSent + traffic.rowsReceived
        let pace = seconds > 0 ? Int(Double(rows) / seconds) : rows
        return
            "\(traffic.rowsSent) rows sent, \(traffic.rowsReceived) received, \(traffic.requests) requests, "
            + "\(String(format: "%.2f", seconds)) s, \(pace) rows/s"
    }
}
