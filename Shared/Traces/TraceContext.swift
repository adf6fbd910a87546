/// Names a trace: 128 random bits, not all of them 0.
package struct TraceID: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64

    /// - Returns: nil for the number 0, which names no trace.
    package init?(high: UInt64, low: UInt64) {
        guard high != 0 || low != 0 else { return nil }
        self.high = high
        self.low = low
    }

    private init(random generator: inout SystemRandomNumberGenerator) {
        high = .random(in: 0 ... .max, using: &generator)
        low = .random(in: 1 ... .max, using: &generator)
    }

    static func random() -> TraceID {
        var generator = SystemRandomNumberGenerator()
        return TraceID(random: &generator)
    }

    /// Sixteen bytes, the highest first.
    package var bytes: [UInt8] {
        [high, low].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) }
        }
    }
}

/// Names a span within its trace: 64 random bits, not all of them 0.
package struct SpanID: Hashable, Sendable {
    package let number: UInt64

    /// - Returns: nil for the number 0, which names no span.
    package init?(_ number: UInt64) {
        guard number != 0 else { return nil }
        self.number = number
    }

    private init(random generator: inout SystemRandomNumberGenerator) {
        number = .random(in: 1 ... .max, using: &generator)
    }

    static func random() -> SpanID {
        var generator = SystemRandomNumberGenerator()
        return SpanID(random: &generator)
    }

    /// Eight bytes, the highest first.
    package var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }
}

/// A request's place in a trace, as it travels between processes (W3C Trace Context).
package struct TraceContext: Hashable, Sendable {
    package var traceID: TraceID
    /// Of the caller.
    package var spanID: SpanID
    /// Somebody collects the trace's spans.
    package var isSampled: Bool
    /// The trace's id is random in its low bits (level 2 of the standard).
    package var isRandom: Bool
    /// What tracing systems on the way have added, as it came.
    package var state: String?

    private static let sampledBit: UInt8 = 1
    private static let randomBit: UInt8 = 2
    /// Bytes of `00-<32 digits>-<16 digits>-<2 digits>`.
    private static let length = 55

    init(traceID: TraceID, spanID: SpanID, isSampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.isSampled = isSampled
        isRandom = true
        state = nil
    }

    /// Reads what a caller has sent. Strict: what is not written as the standard says is nobody's
    /// trace.
    ///
    /// - Parameters:
    ///   - traceparent: of version 00, or of a later one, whose first four parts are the same.
    ///   - tracestate: left out if it is not written as the standard says.
    package init?(traceparent: String, tracestate: String? = nil) {
        let text = traceparent.utf8
        guard text.count >= Self.length, text.count <= TraceState.maximumBytes else { return nil }
        var bytes = text.makeIterator()
        guard let version = bytes.hexadecimal(digits: 2), version != 0xFF, bytes.skipDash(),
            let high = bytes.hexadecimal(digits: 16), let low = bytes.hexadecimal(digits: 16),
            let traceID = TraceID(high: high, low: low), bytes.skipDash(),
            let span = bytes.hexadecimal(digits: 16), let spanID = SpanID(span), bytes.skipDash(),
            let flags = bytes.hexadecimal(digits: 2)
        else { return nil }
        // Later versions may have more parts.
        if text.count > Self.length, version == 0 || !bytes.skipDash() { return nil }
        self.traceID = traceID
        self.spanID = spanID
        isSampled = UInt8(flags) & Self.sampledBit != 0
        isRandom = UInt8(flags) & Self.randomBit != 0
        state = tracestate.flatMap { TraceState.isValid($0) ? $0 : nil }
    }

    /// The flags that this version knows.
    package var flags: UInt8 {
        (isSampled ? Self.sampledBit : 0) | (isRandom ? Self.randomBit : 0)
    }

    /// As version 00 of the standard writes it.
    package var traceparent: String {
        String(unsafeUninitializedCapacity: Self.length) { text in
            var place = 0
            func write(_ number: UInt64, digits: Int) {
                for digit in (0..<digits).reversed() {
                    let value = UInt8(truncatingIfNeeded: number >> (4 * digit)) & 0xF
                    text[place] =
                        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
                    place += 1
                }
            }
            func dash() {
                text[place] = UInt8(ascii: "-")
                place += 1
            }
            write(0, digits: 2)
            dash()
            write(traceID.high, digits: 16)
            write(traceID.low, digits: 16)
            dash()
            write(spanID.number, digits: 16)
            dash()
            write(UInt64(flags), digits: 2)
            return place
        }
    }

    /// As a comment that PostgreSQL shows with a statement's text, in the form of sqlcommenter.
    package var sqlComment: String { "/*traceparent='\(traceparent)'*/" }
}

extension IteratorProtocol<UInt8> {
    /// Lower case alone, as the standard says.
    fileprivate mutating func hexadecimal(digits: Int) -> UInt64? {
        var number: UInt64 = 0
        for _ in 0..<digits {
            guard let byte = next() else { return nil }
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                number = number << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                number = number << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return number
    }

    fileprivate mutating func skipDash() -> Bool { next() == UInt8(ascii: "-") }
}

/// What a `tracestate` may be.
enum TraceState {
    /// Longest list that is handed on, in bytes: the standard asks for as much.
    static let maximumBytes = 512
    private static let maximumMembers = 32
    private static let maximumPartBytes = 256

    static func isValid(_ text: String) -> Bool {
        guard text.utf8.count <= maximumBytes else { return false }
        var keys: Set<Substring> = []
        for member in text.split(separator: ",") {
            let member = trimmed(member)
            // A list may have empty members.
            if member.isEmpty { continue }
            let parts = member.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, isKey(parts[0].utf8), keys.insert(parts[0]).inserted,
                isValue(parts[1].utf8)
            else { return false }
        }
        return (1...maximumMembers).contains(keys.count)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let isBlank = { (character: Character) in character == " " || character == "\t" }
        var text = text.drop(while: isBlank)
        while let last = text.last, isBlank(last) { text.removeLast() }
        return text
    }

    private static func isKey(_ key: Substring.UTF8View) -> Bool {
        guard let first = key.first, key.count <= maximumPartBytes, isLetterOrDigit(first) else {
            return false
        }
        return key.allSatisfy { isLetterOrDigit($0) || "_-*/@".utf8.contains($0) }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "0") < 10 || byte &- UInt8(ascii: "a") < 26
    }

    /// Printable ASCII.
    private static func isValue(_ value: Substring.UTF8View) -> Bool {
        let printable: ClosedRange<UInt8> = 0x20...0x7E
        return !value.isEmpty && value.count <= maximumPartBytes
            && value.allSatisfy { printable.contains($0) && $0 != UInt8(ascii: "=") }
    }
}
