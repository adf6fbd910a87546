/// What a device says of itself in the header `Oversync-Report`: `name=value` pairs with commas
/// between, as in a dictionary of structured fields (RFC 9651) of integers and strings.
///
/// Members that are not known are passed over: later devices may say more.
package struct DeviceReport: Hashable, Sendable {
    /// Longest report, in bytes.
    package static let maximumBytes = 1024
    /// Longest text of a member, in bytes.
    package static let maximumTextBytes = 128
    /// Longest text of `notices`, in bytes.
    package static let maximumNoticesBytes = 400

    /// The library and its version.
    package private(set) var sdk: String?
    /// The app's version.
    package private(set) var app: String?
    /// The schema that the device asks for.
    package private(set) var schema: String?
    /// The history that its cursor belongs to.
    package private(set) var epoch: String?
    /// The sequence up to which it has read its log.
    package private(set) var cursor: Int64?
    /// Rows with edits that the server has not confirmed, rejected ones included.
    package private(set) var pending: Int64?
    /// Age of the oldest of them, in seconds.
    package private(set) var oldest: Int64?
    /// Downloaded rows that it cannot apply yet.
    package private(set) var held: Int64?
    package private(set) var rejected: Int64?
    /// Why most of the rejected ones are.
    package private(set) var reason: String?
    /// The code of its last error; absent once sync works again.
    package private(set) var error: String?
    /// What its status tells the app's developers, as names with blanks between, such as
    /// `unserved_table:notes`.
    package private(set) var notices: String?
    /// Its time, in seconds since 1970.
    package private(set) var time: Int64?

    /// - Returns: nil for what is longer than ``maximumBytes``, is not of this form, or has a value
    ///   beyond its bounds.
    package init?(header: some StringProtocol) {
        guard header.utf8.count <= Self.maximumBytes else { return nil }
        var reader = Reader(bytes: Array(header.utf8))
        repeat {
            guard let (name, value) = reader.member(), set(name, value) else { return nil }
        } while reader.skipComma()
        guard reader.isAtEnd else { return nil }
    }

    fileprivate enum Value {
        case text(String)
        case number(Int64)
    }

    /// - Returns: whether the member may have the value.
    private mutating func set(_ name: String, _ value: Value) -> Bool {
        if let path = Self.texts[name] {
            let most = name == "notices" ? Self.maximumNoticesBytes : Self.maximumTextBytes
            guard case .text(let text) = value, text.utf8.count <= most else { return false }
            self[keyPath: path] = text
        } else if let path = Self.numbers[name] {
            guard case .number(let number) = value, number >= 0 else { return false }
            self[keyPath: path] = number
        }
        return true
    }

    private static var texts: [String: WritableKeyPath<DeviceReport, String?>] {
        [
            "sdk": \.sdk, "app": \.app, "schema": \.schema, "epoch": \.epoch, "reason": \.reason,
            "error": \.error, "notices": \.notices,
        ]
    }

    private static var numbers: [String: WritableKeyPath<DeviceReport, Int64?>] {
        [
            "cursor": \.cursor, "pending": \.pending, "oldest": \.oldest, "held": \.held,
            "rejected": \.rejected, "at": \.time,
        ]
    }
}

/// Reads the members one after the other.
private struct Reader {
    /// Digits of an integer of structured fields.
    private static let maximumDigits = 15

    let bytes: [UInt8]
    private var place = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        place += 1
        return true
    }

    private mutating func skipBlanks() {
        while let next, next == 0x20 || next == 0x09 { place += 1 }
    }

    /// The bytes from here on that satisfy a condition.
    private mutating func take(while isWanted: (UInt8) -> Bool) -> String {
        let start = place
        while let next, isWanted(next) { place += 1 }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }

    /// Whether another member follows.
    mutating func skipComma() -> Bool {
        skipBlanks()
        guard skip(UInt8(ascii: ",")) else { return false }
        skipBlanks()
        return true
    }

    mutating func member() -> (String, DeviceReport.Value)? {
        let name = take { $0 &- 0x61 < 26 || $0 &- 0x30 < 10 || $0 == UInt8(ascii: "_") }
        guard !name.isEmpty, skip(UInt8(ascii: "=")) else { return nil }
        guard skip(UInt8(ascii: "\"")) else { return number().map { (name, .number($0)) } }
        // No report needs a quotation mark or a backslash within a text.
        let text = take { 0x20...0x7E ~= $0 && $0 != 0x22 && $0 != 0x5C }
        return skip(UInt8(ascii: "\"")) ? (name, .text(text)) : nil
    }

    private mutating func number() -> Int64? {
        let isNegative = skip(UInt8(ascii: "-"))
        let digits = take { $0 &- 0x30 < 10 }
        guard digits.utf8.count <= Self.maximumDigits, let number = Int64(digits) else {
            return nil
        }
        return isNegative ? -number : number
    }
}
