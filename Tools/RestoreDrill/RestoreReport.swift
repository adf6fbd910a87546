/// What one restore did.
package struct RestoreReport: Sendable, Codable {
    package let seed: UInt64
    /// Changes that the server had acknowledged, of the whole run so far.
    package var acknowledged = 0
    /// Rows whose last acknowledged change PostgreSQL has lost.
    package var lost = 0
    /// Lost rows that came back from devices.
    package var restored = 0
    /// Rows that the devices with lost changes reported to have sent again. Where
    /// others were first, a device has fewer to send; where several were at once, a row counts for
    /// each.
    package var reported = 0
    package var seconds = 0.0
    /// What is not as promised.
    package var faults: [String] = []

    init(seed: UInt64) { self.seed = seed }

    package static let heading =
        "seed  acknowledged  lost by PostgreSQL  restored by devices  reported  seconds"

    package var line: String {
        let columns = [
            ("\(seed)", 4), ("\(acknowledged)", 12), ("\(lost)", 18), ("\(restored)", 19),
            ("\(reported)", 8), ("\(Int(seconds))", 7),
        ]
        return columns.map { text, width in
            String(repeating: " ", count: max(0, width - text.count)) + text
        }.joined(separator: "  ")
    }
}
