import Foundation
import GRDB
import WireJSON

/// SQL literals. Base images use them to keep values with their exact types.
enum SQLLiteral {
    static func text(of value: DatabaseValue) -> String {
        switch value.storage {
        case .null: "NULL"
        case .int64(let number): String(number)
        case .double(let number):
            number.isFinite ? "\(number)" : number > 0 ? "9.0e+999" : "-9.0e+999"
        case .string(let text): text.quotedLiteral
        case .blob(let data):
            "X'"
                + data.map {
                    String(decoding: [Hex.digit($0 >> 4), Hex.digit($0 & 0xF)], as: UTF8.self)
                }
                .joined() + "'"
        }
    }

    /// The value of a literal as written by SQLite's `quote`; nil if it is not one.
    static func value(of text: String) -> DatabaseValue? {
        if text == "NULL" { return .null }
        // Compares bytes: a combining mark after a quote would form one character with it.
        let bytes = Array(text.utf8)
        let quote = UInt8(ascii: "'")
        if bytes.count >= 2, bytes.first == quote, bytes.last == quote {
            let content = Array(bytes.dropFirst().dropLast())
            return String(
                decoding: content.replacing([quote, quote], with: [quote]), as: UTF8.self
            ).databaseValue
        }
        if bytes.count >= 3, bytes.starts(with: "X'".utf8), bytes.last == quote {
            return Hex.decode(bytes.dropFirst(2).dropLast()).map { Data($0).databaseValue }
        }
        return Int64(text)?.databaseValue ?? Double(text)?.databaseValue
    }
}

/// A row's values by lower-case column name.
typealias RowValues = [String: DatabaseValue]

/// A row as it was at its base version, as written by `CaptureTriggers`.
enum RowImage {
    /// nil if there is no image or it cannot be read. Then every column counts as edited.
    static func values(of image: String?) -> RowValues? {
        guard let image else { return nil }
        var values: RowValues = [:]
        for line in image.utf8.split(separator: UInt8(ascii: "\n")) {
            guard let object = try? object(Array(line)) else { return nil }
            values.merge(object) { $1 }
        }
        return values
    }

    static func text(of values: RowValues) -> String {
        var bytes: [UInt8] = []
        bytes.append(byte: UInt8(ascii: "{"))
        for (index, entry) in values.sorted(by: { $0.key < $1.key }).enumerated() {
            if index > 0 { bytes.append(byte: UInt8(ascii: ",")) }
            bytes.append(jsonString: entry.key)
            bytes.append(byte: UInt8(ascii: ":"))
            bytes.append(jsonString: SQLLiteral.text(of: entry.value))
        }
        bytes.append(byte: UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func object(_ line: [UInt8]) throws(JSONError) -> RowValues {
        var values: RowValues = [:]
        var failure: JSONError?
        line.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            do throws(JSONError) {
                try reader.readObject { reader, key throws(JSONError) in
                    let literal = try reader.readString()
                    guard let name = reader.text(of: key), let value = SQLLiteral.value(of: literal)
                    else {
                        throw JSONError("not an SQL literal", at: reader.position)
                    }
                    values[name] = value
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return values
    }
}
