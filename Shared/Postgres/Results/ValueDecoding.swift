/// Reads PostgreSQL's text and binary forms; each function returns nil for bytes it does not accept.
enum ValueDecoding {
    static func integer(_ bytes: UnsafeRawBufferPointer, _ format: ResultFormat) -> Int64? {
        switch format {
        case .text: decimal(bytes)
        case .binary:
            switch bytes.count {
            case 8: Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
            case 4: Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
            case 2: Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
            default: nil
            }
        }
    }

    static func narrow<Value: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Value? {
        integer(bytes, format).flatMap { Value(exactly: $0) }
    }

    static func bool(_ bytes: UnsafeRawBufferPointer, _ format: ResultFormat) -> Bool? {
        guard bytes.count == 1 else { return nil }
        switch (format, bytes[0]) {
        case (.text, UInt8(ascii: "t")), (.binary, 1): return true
        case (.text, UInt8(ascii: "f")), (.binary, 0): return false
        default: return nil
        }
    }

    static func double(_ bytes: UnsafeRawBufferPointer, _ format: ResultFormat) -> Double? {
        switch format {
        case .text: return string(bytes, format).flatMap(Double.init)
        case .binary:
            guard bytes.count == 8 else { return nil }
            return Double(
                bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
        }
    }

    static func string(_ bytes: UnsafeRawBufferPointer, _: ResultFormat) -> String? {
        String(validating: bytes, as: UTF8.self)
    }

    static func bytea(_ bytes: UnsafeRawBufferPointer, _ format: ResultFormat) -> [UInt8]? {
        if format == .binary { return [UInt8](bytes) }
        guard bytes.count >= 2, bytes.count.isMultiple(of: 2),
            bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "x")
        else { return nil }
        var valid = true
        let decoded = [UInt8](unsafeUninitializedCapacity: bytes.count / 2 - 1) { buffer, count in
            count = bytes.count / 2 - 1
            for index in 0..<count {
                guard let high = nibble(bytes[2 * index + 2]),
                    let low = nibble(bytes[2 * index + 3])
                else {
                    valid = false
                    count = index
                    return
                }
                buffer.initializeElement(at: index, to: high << 4 | low)
            }
        }
        return valid ? decoded : nil
    }

    private static func nibble(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Accumulates downwards, so that the smallest value does not overflow on its way.
    private static func decimal(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        let negative = bytes.first == UInt8(ascii: "-")
        let digits = negative ? UnsafeRawBufferPointer(rebasing: bytes.dropFirst()) : bytes
        if digits.isEmpty { return nil }
        var value: Int64 = 0
        for character in digits {
            guard character >= UInt8(ascii: "0"), character <= UInt8(ascii: "9") else { return nil }
            let (product, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, under) = product.subtractingReportingOverflow(
                Int64(character - UInt8(ascii: "0")))
            if over || under { return nil }
            value = sum
        }
        if negative { return value }
        return value == .min ? nil : -value
    }
}
