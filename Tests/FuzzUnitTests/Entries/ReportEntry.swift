import Model
import Sidecar
import WireJSON

extension FuzzEntry {
    /// What a device says of itself in a header.
    static let reports = FuzzEntry(
        "reports", mostBytes: 1200,
        now: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let report = DeviceReport(header: text) else { return }
            try hold(text.utf8.count <= DeviceReport.maximumBytes, "a report is bounded")
            for number in [report.cursor, report.pending, report.held, report.rejected] {
                try hold(number ?? 0 >= 0, "a count is not negative")
            }
            let document = report.document(now: 1_000_000).text
            let stored = StoredReport(json: document)
            try hold(
                stored?.pending == report.pending && stored?.notices == report.notices,
                "what is stored is what was said")
        })
}
