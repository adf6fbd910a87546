import Foundation

/// A value of JSON or of YAML. Numbers and truth values are never taken for each other.
package enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[name]
    }

    package var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    package var members: [String: JSONValue]? {
        guard case .object(let members) = self else { return nil }
        return members
    }

    /// What Yams makes of a document.
    ///
    /// - Throws: `FlawedDescription` for a value that JSON has not, such as a date.
    init(yaml value: Any) throws(FlawedDescription) {
        switch value {
        case is NSNull: self = .null
        case let value as Bool: self = .bool(value)
        case let value as Int: self = .integer(Int64(value))
        case let value as Double: self = .number(value)
        case let value as String: self = .string(value)
        case let values as [Any]:
            var array: [JSONValue] = []
            for value in values { array.append(try JSONValue(yaml: value)) }
            self = .array(array)
        case let values as [String: Any]:
            var members: [String: JSONValue] = [:]
            for (name, value) in values { members[name] = try JSONValue(yaml: value) }
            self = .object(members)
        default: throw FlawedDescription("\(type(of: value)) is no JSON value")
        }
    }
}

extension JSONValue: Decodable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        self =
            if container.decodeNil() {
                .null
            } else if let value = try? container.decode(Bool.self) {
                .bool(value)
            } else if let value = try? container.decode(Int64.self) {
                .integer(value)
            } else if let value = try? container.decode(Double.self) {
                .number(value)
            } else if let value = try? container.decode(String.self) {
                .string(value)
            } else if let value = try? container.decode([JSONValue].self) {
                .array(value)
            } else {
                .object(try container.decode([String: JSONValue].self))
            }
    }
}

/// A description that the checks of answers cannot hold anything against.
package struct FlawedDescription: Error, Hashable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
