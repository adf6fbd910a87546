import SeededRandom
import WireJSON

/// An answer's JSON. Each of its values can be replaced or left out.
indirect enum AnswerTree {
    case object([(key: String, value: AnswerTree)])
    case array([AnswerTree])
    case scalar(String)

    /// More elements of an array are not altered: they are like those before.
    private static let alteredElements = 2

    init?(_ body: [UInt8]) {
        let read = body.withUnsafeBufferPointer { bytes -> AnswerTree? in
            var reader = JSONReader(bytes)
            return try? Self.read(&reader)
        }
        guard let read else { return nil }
        self = read
    }

    private static func read(_ reader: inout JSONReader) throws(JSONError) -> AnswerTree {
        switch try reader.peek() {
        case .object:
            var members: [(key: String, value: AnswerTree)] = []
            try reader.readObject { reader, key throws(JSONError) in
                let name = reader.text(of: key) ?? ""
                members.append((name, try read(&reader)))
            }
            return .object(members)
        case .array:
            var elements: [AnswerTree] = []
            try reader.readArray { reader throws(JSONError) in
                elements.append(try read(&reader))
            }
            return .array(elements)
        case .string, .number, .bool, .null:
            let slice = try reader.skipValue()
            return .scalar(String(decoding: reader.bytes[slice.range], as: UTF8.self))
        }
    }

    var text: String {
        switch self {
        case .scalar(let text): text
        case .array(let elements): "[" + elements.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { "\"\($0.key)\":\($0.value.text)" }.joined(separator: ",") + "}"
        }
    }

    /// The answer with each value in turn replaced by others, or left out, and what was done.
    func altered(by values: [(name: String, text: String)]) -> [(name: String, text: String)] {
        var all = values.map { ($0.name, $0.text) }
        switch self {
        case .scalar: break
        case .array(let elements):
            for place in elements.indices.prefix(Self.alteredElements) {
                all += elements[place].altered(by: values).map { name, text in
                    var changed = elements
                    changed[place] = .scalar(text)
                    return ("[\(place)]\(name)", Self.array(changed).text)
                }
            }
        case .object(let members):
            for place in members.indices {
                let key = members[place].key
                var rest = members
                rest.remove(at: place)
                all.append((".\(key) missing", Self.object(rest).text))
                all += members[place].value.altered(by: values).map { name, text in
                    var changed = members
                    changed[place].value = .scalar(text)
                    return (".\(key)\(name)", Self.object(changed).text)
                }
            }
        }
        return all
    }

    /// Values that no gateway sends in the place of any other.
    static let strange: [(name: String, text: String)] = [
        (" = null", "null"), (" = true", "true"), (" = 0", "0"), (" = -1", "-1"),
        (" = 1.5", "1.5"), (" = 2^53 - 1", "9007199254740991"), (" = 2^53", "9007199254740992"),
        (" = 2^63 - 1", "9223372036854775807"), (" = -2^63", "-9223372036854775808"),
        (" = 2^64", "18446744073709551616"), (" = 1e999", "1e999"), (" = ''", "\"\""),
        (" = 'x'", "\"x\""), (" = half a pair", #""\ud800""#), (" = {}", "{}"), (" = []", "[]"),
        (" = long", "\"" + String(repeating: "long ", count: 20_000) + "\""),
        (" = deep", deep(10_000)),
    ]

    private static func deep(_ depth: Int) -> String {
        String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
}
