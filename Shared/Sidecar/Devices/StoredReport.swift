import Foundation
import Model
import WireJSON

/// What a device said of itself, as `sync.device_report` keeps it.
package struct StoredReport: Hashable, Sendable, Codable {
    package let sdk: String?
    package let app: String?
    package let schema: String?
    package let epoch: String?
    package let cursor: Int64?
    package let pending: Int64?
    package let oldestPendingSeconds: Int64?
    package let held: Int64?
    package let rejected: Int64?
    package let reason: String?
    package let error: String?
    package let notices: String?
    /// How far the device's clock was ahead of the server's; negative: behind.
    package let clockAheadSeconds: Int64?

    private enum CodingKeys: String, CodingKey {
        case sdk, app, schema, epoch, cursor, pending, held, rejected, reason, error, notices
        case oldestPendingSeconds = "oldest_pending_seconds"
        case clockAheadSeconds = "clock_ahead_seconds"
    }

    /// - Parameter json: as the table has it.
    /// - Returns: nil for what is not a report, as somebody else may have written it.
    package init?(json: String) {
        guard let report = try? JSONDecoder().decode(Self.self, from: Data(json.utf8)) else {
            return nil
        }
        self = report
    }

    /// The subjects of the notices of a kind.
    func subjects(of kind: String) -> [String] {
        (notices ?? "").split(separator: " ").compactMap { notice in
            let parts = notice.split(separator: ":", maxSplits: 1)
            return parts.first == Substring(kind) ? parts.dropFirst().first.map(String.init) : nil
        }
    }
}

extension DeviceReport {
    /// The JSON object that `sync.device_report` keeps.
    ///
    /// - Parameter now: the server's time, in seconds since 1970.
    package func document(now: Int64) -> JSONDocument {
        [
            "sdk": sdk.map { .string($0) }, "app": app.map { .string($0) },
            "schema": schema.map { .string($0) }, "epoch": epoch.map { .string($0) },
            "cursor": cursor.map { .integer($0) }, "pending": pending.map { .integer($0) },
            "oldest_pending_seconds": oldest.map { .integer($0) },
            "held": held.map { .integer($0) }, "rejected": rejected.map { .integer($0) },
            "reason": reason.map { .string($0) }, "error": error.map { .string($0) },
            "notices": notices.map { .string($0) },
            "clock_ahead_seconds": time.map { .integer($0 - now) },
        ]
    }
}

/// Something that was heard of a device: it said something, or a token of it was rejected.
package struct HeardOfDevice: Sendable {
    /// JSON, as ``DeviceReport/document(now:)`` makes it; nil where it said nothing.
    package var report: JSONDocument?
    /// Why a token was rejected; nil where none was.
    package var rejection: String?

    package init(report: JSONDocument? = nil, rejection: String? = nil) {
        (self.report, self.rejection) = (report, rejection)
    }

    /// Takes what is newer.
    package mutating func add(_ other: HeardOfDevice) {
        report = other.report ?? report
        rejection = other.rejection ?? rejection
    }
}
