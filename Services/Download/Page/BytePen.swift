import Model

/// Puts bytes one after the other into memory that is large enough for all of them: a buffer that looks for room
/// with every piece takes as long as the rest of a row.
struct BytePen {
    private let start: UnsafeMutableRawPointer?
    private let room: Int
    private(set) var written = 0

    init(_ memory: UnsafeMutableRawBufferPointer) {
        (start, room) = (memory.baseAddress, memory.count)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= room - written, "a row's size was not reckoned right")
        guard let start, let from = bytes.baseAddress else { return }
        (start + written).copyMemory(from: from, byteCount: bytes.count)
        written += bytes.count
    }

    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    mutating func put(_ text: StaticString) {
        put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Digits and sign of the longest number.
    static let longestNumber = 20

    mutating func put(number: Int64) {
        precondition(Self.longestNumber <= room - written, "a row's size was not reckoned right")
        guard let start else { return }
        if number < 0 {
            start.storeBytes(of: UInt8(ascii: "-"), toByteOffset: written, as: UInt8.self)
            written += 1
        }
        var rest = number.magnitude
        var (digits, limit) = (1, UInt64(10))
        while digits < Self.longestNumber - 1, rest >= limit {
            digits += 1
            limit *= 10
        }
        written += digits
        for back in 1...digits {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            start.storeBytes(
                of: UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit),
                toByteOffset: written - back, as: UInt8.self)
            rest = quotient
        }
    }

    /// Bytes of a uuid's text in quotes.
    static let uuidTextBytes = RowKey.dashedBytes + 2

    /// A uuid as its text in quotes.
    mutating func put(uuidHigh high: UInt64, low: UInt64) {
        precondition(Self.uuidTextBytes <= room - written, "a row's size was not reckoned right")
        guard let start else { return }
        put("\"")
        RowKey.writeDashed(
            high, low,
            into: UnsafeMutableRawBufferPointer(start: start + written, count: room - written))
        written += RowKey.dashedBytes
        put("\"")
    }
}
