/// One change of the server's log, by its sequence and a tag of its content.
///
/// A server that lost changes, in a restore or a failover, has another change in that place, or
/// none. So a pair that is still there proves everything before it (promise P7).
struct HistoryPair: Hashable, Sendable {
    /// From 1.
    let sequence: Int64
    let tag: UInt64

    /// Digits of a tag in text.
    private static let tagDigits = 16

    init(sequence: Int64, tag: UInt64) {
        self.sequence = sequence
        self.tag = tag
    }

    /// Reads the header `Oversync-History`: `<sequence>-<16 hexadecimal digits>`. Nil for anything
    /// else, which says nothing.
    init?(text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let sequence = Int64(parts[0]),
            (1...ProtocolNumber.maximum).contains(sequence),
            parts[1].utf8.count == Self.tagDigits, let tag = UInt64(parts[1], radix: 16)
        else { return nil }
        self.init(sequence: sequence, tag: tag)
    }

    /// The header's value.
    var text: String {
        let digits = String(tag, radix: 16)
        let zeros = String(repeating: "0", count: Self.tagDigits - digits.utf8.count)
        return "\(sequence)-\(zeros)\(digits)"
    }
}

/// What the server says about the pair that a device sent, in the answer to `/sync/bootstrap`.
enum HistoryFinding: String, Hashable, Sendable {
    /// Everything up to the pair is there.
    case same
    /// The server has lost changes that the device knows of.
    case forked
    /// The server has compacted the change away, so it cannot tell.
    case unproven
}

/// Decides how a device answers a server whose history may be another one.
enum HistoryRules {
    /// Seconds after a reread of this kind before the next may begin. Two servers that both take
    /// themselves for the primary would otherwise make the device read for ever.
    static let pause = 600.0

    enum Action: Hashable {
        /// Read the log from its start and send again what was lost.
        case reread
        /// Forget the pair: a reread is under way, or was a moment ago, and proves the rest.
        case forget
        /// Begin nothing now. What the server refuses stays refused until the pause is over.
        case wait
    }

    /// - Parameters:
    ///   - lastReread: when the last reread of this kind began; 0 if none ever did.
    ///   - now: seconds since 1970, as is `lastReread`.
    static func decide(
        _ finding: HistoryFinding, isRereading: Bool, lastReread: Double, now: Double
    ) -> Action {
        // A clock that was set back must not prolong the pause.
        let isRecent = lastReread > 0 && lastReread <= now && now - lastReread < pause
        if finding == .unproven { return isRereading || isRecent ? .forget : .reread }
        return isRecent ? .wait : .reread
    }
}
