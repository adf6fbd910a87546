import Foundation
import GatewayAccess
import OperatorKit

/// Reads the logs of all users with acknowledged changes, and compares.
package struct AcknowledgedCheck: Sendable {
    /// Rows of one page.
    private static let limit = 1000

    private let gateway: GatewayAccess

    package init(gateway: GatewayAccess) { self.gateway = gateway }

    /// - Throws: `FatalAnswer` or `StackError` if a log cannot be read.
    package func run(
        _ acknowledged: [PersistentDevice.Acknowledged]
    ) async throws -> AcknowledgedReport {
        var report = AcknowledgedReport()
        let byUser = Dictionary(grouping: acknowledged, by: \.user)
        for (user, changes) in byUser.sorted(by: { $0.key < $1.key }) {
            report.take(user, changes, log: try await log(of: user))
        }
        return report
    }

    /// A user's whole log, read by a device that never wrote.
    private func log(of user: String) async throws -> [AcknowledgedReport.Entry] {
        try await gateway.withClient { client in
            let tally = LoadTally()
            // A gateway that is away is waited for as long as at the end of a load.
            tally.end()
            let wire = try await PersistentWire(
                gateway, client, user: user, device: "verifier", tally: tally)
            var log: [AcknowledgedReport.Entry] = []
            var hasMore = true
            while hasMore {
                let path =
                    "/sync/download?after=\(log.last?.sequence ?? 0)&limit=\(Self.limit)"
                    + "&include_self=true"
                guard let answer = try await wire.get(path) else {
                    throw StackError("\(gateway.url) gave no answer for \(LoadTally.grace)")
                }
                let page = try LogPage(answer)
                log += page.changes.map {
                    AcknowledgedReport.Entry(
                        sequence: $0.server_id, device: $0.source_id, id: $0.source_change_id,
                        row: $0.pk, version: $0.server_version)
                }
                hasMore = page.has_more
            }
            return log
        }
    }
}
