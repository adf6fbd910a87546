import Foundation
import WireJSON

extension FuzzEntry {
    /// The JSON reader, which both ends have: all its ways to read a value agree, and it takes
    /// nothing that Foundation refuses.
    static let json = FuzzEntry(
        "json", mostBytes: 4096,
        now: { bytes in
            guard let slice = try JSONProbe.scanned(bytes) else { return }
            let text = bytes[slice.range]
            let compact = try JSONProbe.compacted(text)
            let second = try JSONProbe.scanned(compact)
            try hold(
                second?.kind == slice.kind && second?.flaw == slice.flaw
                    && second?.hasWhitespace == false, "compacting keeps a value")
            try hold(try JSONProbe.compacted(compact[...]) == compact, "compacting is done at once")
            guard let rewritten = JSONProbe.rewritten(bytes) else { return }
            try hold(
                JSONProbe.rewritten(rewritten) == rewritten, "what was written is read as it was")
            guard slice.flaw == nil, !JSONProbe.hasExponent(text),
                String(validating: text, as: UTF8.self) != nil
            else { return }
            let theirs = try? JSONSerialization.jsonObject(
                with: Data(text), options: .fragmentsAllowed)
            try hold(theirs != nil, "Foundation reads it, too")
        })
}

/// Ways to read a document.
enum JSONProbe {
    /// Levels that are walked; deeper values are passed over.
    private static let mostLevels = 64

    /// The document's value, if it is JSON.
    static func scanned(_ bytes: [UInt8]) throws -> JSONSlice? {
        let slice = bytes.withUnsafeBufferPointer { bytes -> JSONSlice? in
            var reader = JSONReader(bytes)
            guard let slice = try? reader.skipValue(), (try? reader.expectEnd()) != nil else {
                return nil
            }
            return slice
        }
        try hold((slice != nil) == (rewritten(bytes) != nil), "both ways take the same documents")
        if let slice {
            try hold(
                !slice.range.isEmpty && bytes.indices.contains(slice.range.upperBound - 1),
                "a value lies in its document")
        }
        return slice
    }

    static func compacted(_ text: ArraySlice<UInt8>) throws -> [UInt8] {
        var compact: [UInt8] = []
        text.withUnsafeBufferPointer { compact.append(compacting: $0) }
        try hold(compact.count <= text.count, "compacting adds nothing")
        return compact
    }

    /// The document, read value by value and written again; nil if it is not JSON.
    static func rewritten(_ bytes: [UInt8]) -> [UInt8]? {
        bytes.withUnsafeBufferPointer { bytes -> [UInt8]? in
            var reader = JSONReader(bytes)
            var text: [UInt8] = []
            guard (try? rewrite(&reader, into: &text, level: 0)) != nil,
                (try? reader.expectEnd()) != nil
            else { return nil }
            return text
        }
    }

    private static func rewrite(
        _ reader: inout JSONReader, into text: inout [UInt8], level: Int
    ) throws(JSONError) {
        switch try reader.peek() {
        case .object where level < mostLevels:
            text.append(UInt8(ascii: "{"))
            try reader.readObject { reader, key throws(JSONError) in
                if text.last != UInt8(ascii: "{") { text.append(UInt8(ascii: ",")) }
                text.append(jsonString: reader.text(of: key) ?? "?")
                text.append(UInt8(ascii: ":"))
                _ = reader.key(key, is: "changes")
                try rewrite(&reader, into: &text, level: level + 1)
            }
            text.append(UInt8(ascii: "}"))
        case .array where level < mostLevels:
            text.append(UInt8(ascii: "["))
            try reader.readArray { reader throws(JSONError) in
                if text.last != UInt8(ascii: "[") { text.append(UInt8(ascii: ",")) }
                try rewrite(&reader, into: &text, level: level + 1)
            }
            text.append(UInt8(ascii: "]"))
        case .string:
            let slice = try reader.readStringSlice()
            text.append(jsonString: reader.text(of: slice) ?? "?")
        case .null:
            try reader.readNull()
            text.append(literal: "null")
        case .bool: text.append(bool: try reader.readBool())
        case .object, .array, .number:
            let slice = try reader.skipValue()
            text.append(
                compacting: UnsafeBufferPointer(rebasing: reader.bytes[slice.range]))
            let digits = String(decoding: reader.bytes[slice.range], as: UTF8.self)
            if slice.kind == .number, reader.integer(of: slice) != Int64(digits) {
                throw JSONError("\(digits) is another number", at: slice.range.lowerBound)
            }
        }
    }

    /// Whether there may be a number that no double holds.
    static func hasExponent(_ text: ArraySlice<UInt8>) -> Bool {
        let isDigit: (UInt8) -> Bool = { $0 &- UInt8(ascii: "0") < 10 }
        let exponents = zip(text, text.dropFirst()).contains { digit, letter in
            isDigit(digit) && letter | 0x20 == UInt8(ascii: "e")
        }
        return exponents || text.split { !isDigit($0) }.contains { $0.count > 300 }
    }
}
