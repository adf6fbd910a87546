import Postgres

/// Values that some types store as they are, told from their text: nearly all that devices send.
/// Only others need a comparison with what is stored.
package enum OrdinaryValue: Hashable, Sendable {
    /// `double precision`: a number of few digits.
    case number
    /// `timestamptz`: with a zone, and up to six digits of a second.
    case instant
    /// `timestamp`: without a zone.
    case local
    /// `date`: nothing but a date.
    case date

    /// Digits of a decimal number that every `double precision` of usual size gives back.
    private static let safeDigits = 15
    /// Digits of a second that times have.
    private static let secondDigits = 6
    /// Bytes of a date without a time.
    private static let dateBytes = 10

    init?(type: UInt32) {
        switch type {
        case PostgresType.float8.rawValue: self = .number
        case PostgresType.timestamptz.rawValue: self = .instant
        case SentValue.timestamp: self = .local
        case SentValue.date: self = .date
        default: return nil
        }
    }

    /// - Parameters:
    ///   - text: the value as JSON has it, a string without its quotes.
    ///   - isString: it is a string.
    package func covers(_ text: some Collection<UInt8>, isString: Bool) -> Bool {
        guard isString == (self != .number) else { return false }
        switch self {
        case .number:
            return text.count <= Self.safeDigits
                && text.allSatisfy { Self.isDigit($0) || $0 == UInt8(ascii: "-") || Self.isDot($0) }
        case .date: return text.count == Self.dateBytes && Self.isDate(text)
        case .instant, .local:
            return text.count > Self.dateBytes && Self.isDate(text.prefix(Self.dateBytes))
                && isTime(text.dropFirst(Self.dateBytes))
        }
    }

    /// Year, month and day, whose order no setting changes.
    private static func isDate(_ text: some Collection<UInt8>) -> Bool {
        text.enumerated().allSatisfy { place, byte in
            place == 4 || place == 7 ? byte == UInt8(ascii: "-") : isDigit(byte)
        }
    }

    /// What follows the date: an instant has a zone, and a local time has none.
    private func isTime(_ text: some Collection<UInt8>) -> Bool {
        var fraction: Int?
        var hasZone = false
        for (place, byte) in text.enumerated() {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                fraction = fraction.map { $0 + 1 }
                if let fraction, fraction > Self.secondDigits { return false }
            case UInt8(ascii: "."):
                if fraction != nil || hasZone { return false }
                fraction = 0
            case UInt8(ascii: "T"), UInt8(ascii: " "):
                if place != 0 { return false }
            case UInt8(ascii: ":"): break
            case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "Z"):
                if hasZone { return false }
                hasZone = true
                fraction = nil
            default: return false
            }
        }
        return hasZone == (self == .instant)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isDot(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ".") }
}
