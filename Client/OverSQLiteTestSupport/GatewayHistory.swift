import OverSQLite

/// What a device and a gateway tell each other of the history (`Oversync-History`).
struct GatewayHistory: Hashable, Sendable {
    let sequence: Int
    let tag: UInt64

    private static let tagDigits = 16

    /// The change of a log, distinguished by when it was written.
    init(_ entry: GatewayModel.Entry) {
        sequence = entry.sequence
        // Odd factors give different changes different tags.
        tag =
            entry.time &* 0x9E37_79B9_7F4A_7C15
            ^ UInt64(bitPattern: Int64(entry.sequence)) &* 0xC2B2_AE3D_27D4_EB4F
    }

    /// Reads the header; nil for anything else.
    init?(text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].allSatisfy(\.isNumber), let sequence = Int(parts[0]),
            sequence > 0, parts[1].utf8.count == Self.tagDigits,
            let tag = UInt64(parts[1], radix: 16)
        else { return nil }
        self.sequence = sequence
        self.tag = tag
    }

    var text: String {
        let digits = String(tag, radix: 16)
        let zeros = String(repeating: "0", count: Self.tagDigits - digits.utf8.count)
        return "\(sequence)-\(zeros)\(digits)"
    }
}

extension GatewayModel {
    /// What this log says of a pair: `same`, `forked` or `unproven`.
    func finding(_ told: GatewayHistory) -> String {
        guard told.sequence <= lastSequence else { return "forked" }
        if let here = history(at: told.sequence) { return here == told ? "same" : "forked" }
        return told.sequence <= compacted ? "unproven" : "same"
    }

    /// The change at a sequence; nil if it was compacted away, or there is none.
    func history(at sequence: Int) -> GatewayHistory? {
        let entry = log.last { $0.sequence == sequence }
        return (entry ?? (kept?.sequence == sequence ? kept : nil)).map(GatewayHistory.init)
    }
}

extension Call {
    /// The pair that the device sends; nil if it sends none.
    ///
    /// - Throws: the refusal of a header that is malformed.
    var told: GatewayHistory? {
        get throws(GatewayError) {
            guard let history, !history.isEmpty else { return nil }
            guard let told = GatewayHistory(text: history) else {
                throw .invalid(
                    "Oversync-History must be a sequence from 1, -, and 16 hexadecimal digits, "
                        + "as an answer gave it")
            }
            return told
        }
    }

    /// Whether the answer may tell the history: older clients get what they always got.
    var knowsHistories: Bool { epoch != nil || history != nil }

    /// The headers that tell a device a change of the log.
    func telling(_ history: GatewayHistory?) -> [String: String] {
        guard knowsHistories, let history else { return [:] }
        return ["oversync-history": history.text]
    }
}

extension GatewayError {
    static let historyForked = GatewayError(
        status: 409, code: "history_forked",
        message: "The server has lost changes that this device knows of; "
            + "download from 0 and send again what was lost")

    static let historyUnproven = GatewayError(
        status: 409, code: "history_unproven",
        message: "The server no longer keeps the change that this device names as the last one it "
            + "knows, so their histories may differ; download from 0")
}
