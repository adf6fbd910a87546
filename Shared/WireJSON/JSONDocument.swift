/// A JSON value to write, for answers that are rarely sent: what it holds reads like the answer.
///
/// Objects keep the order of their members, which Foundation's encoder does not. Answers of many
/// rows, and those that devices ask for all the time, append to a buffer instead.
package enum JSONDocument: Sendable {
    case string(String)
    case integer(Int64)
    case bool(Bool)
    case array([JSONDocument])
    /// A member whose value is nil is left out.
    case object([(name: String, value: JSONDocument?)])
    /// JSON that is written already; kept byte for byte.
    case written(String)

    /// The compact JSON text.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(self)
        return bytes
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension JSONDocument: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONDocument...) { self = .array(elements) }

    package init(dictionaryLiteral members: (String, JSONDocument?)...) {
        self = .object(members.map { (name: $0, value: $1) })
    }
}

extension JSONTextBuffer {
    package mutating func append(_ document: JSONDocument) {
        switch document {
        case .string(let text): append(jsonString: text)
        case .integer(let number): append(integer: number)
        case .bool(let value): append(bool: value)
        case .array(let elements): append(elements)
        case .object(let members): append(members)
        case .written(var text): text.withUTF8 { append(bytes: $0) }
        }
    }

    private mutating func append(_ elements: [JSONDocument]) {
        append(byte: UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
            if index > 0 { append(byte: UInt8(ascii: ",")) }
            append(element)
        }
        append(byte: UInt8(ascii: "]"))
    }

    private mutating func append(_ members: [(name: String, value: JSONDocument?)]) {
        append(byte: UInt8(ascii: "{"))
        var isFirst = true
        for (name, value) in members {
            guard let value else { continue }
            if !isFirst { append(byte: UInt8(ascii: ",")) }
            isFirst = false
            append(jsonString: name)
            append(byte: UInt8(ascii: ":"))
            append(value)
        }
        append(byte: UInt8(ascii: "}"))
    }
}
