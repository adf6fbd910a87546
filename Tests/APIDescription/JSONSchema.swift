import Foundation

/// The part of JSON Schema that the answers in `openapi.yaml` are described with.
///
/// A keyword or a format that is not known here is an error: passed over, it would let any value
/// through. Stricter than JSON Schema in one way: where an object names its members, it has no
/// others, unless `additionalProperties: true` says so. The page shall describe whole answers.
package struct JSONSchema: Sendable {
    /// Keywords that say nothing about values.
    private static let remarks: Set = ["description", "default", "deprecated", "summary"]
    private static let types: Set = [
        "array", "boolean", "integer", "null", "number", "object", "string",
    ]
    private static let formats: Set = ["binary", "date-time", "int64", "uuid"]

    /// The name of a schema among the components, which stands for this one.
    private(set) var reference: String?
    private var types: Set<String> = []
    private var properties: [String: JSONSchema] = [:]
    private var required: [String] = []
    private var isOpen = false
    /// One, or none.
    private var items: [JSONSchema] = []
    private var choices: [JSONValue] = []
    private var format: String?
    private var pattern: String?
    private var minimum: Int64?
    private var maximum: Int64?
    private var mostItems: Int64?

    /// - Throws: `FlawedDescription` for what this does not know.
    package init(_ value: JSONValue, at place: String) throws(FlawedDescription) {
        guard case .object(let keywords) = value else {
            throw FlawedDescription("\(place) is no schema")
        }
        for (keyword, value) in keywords where !Self.remarks.contains(keyword) {
            try read(keyword, value, at: place)
        }
        isOpen = isOpen || properties.isEmpty
        if let name = required.first(where: { properties[$0] == nil }) {
            throw FlawedDescription("\(place) requires \(name), which it does not describe")
        }
    }

    private mutating func read(
        _ keyword: String, _ value: JSONValue, at place: String
    ) throws(FlawedDescription) {
        switch (keyword, value) {
        case ("$ref", .string(let text)) where text.hasPrefix("#/components/schemas/"):
            reference = text.split(separator: "/").last.map(String.init)
        case ("type", .string(let name)): types = [name]
        case ("type", .array(let names)): types = Set(names.compactMap(\.text))
        case ("properties", .object(let members)):
            for (name, member) in members {
                properties[name] = try JSONSchema(member, at: "\(place).\(name)")
            }
        case ("required", .array(let names)): required = names.compactMap(\.text)
        case ("additionalProperties", .bool(let isOpen)): self.isOpen = isOpen
        case ("items", let schema): items = [try JSONSchema(schema, at: place + "[]")]
        case ("enum", .array(let choices)): self.choices = choices
        case ("const", let choice): choices = [choice]
        case ("format", .string(let name)) where Self.formats.contains(name): format = name
        case ("pattern", .string(let text)):
            guard (try? Regex(text)) != nil else {
                throw FlawedDescription("\(place) has the pattern \(text), which is none")
            }
            pattern = text
        case ("minimum", .integer(let number)): minimum = number
        case ("maximum", .integer(let number)): maximum = number
        case ("maxItems", .integer(let number)): mostItems = number
        default:
            throw FlawedDescription("\(place) has \(keyword): \(value), which no check knows")
        }
        if let name = types.subtracting(Self.types).sorted().first {
            throw FlawedDescription("\(place) has the type \(name), which there is not")
        }
    }

    /// The names of all schemas that this one needs.
    var references: Set<String> {
        (properties.values + items).reduce(into: Set([reference].compactMap(\.self))) {
            $0.formUnion($1.references)
        }
    }

    /// What is wrong with a value, each with its place.
    package func problems(
        of value: JSONValue, at place: String, in named: [String: JSONSchema] = [:]
    ) -> [String] {
        if let reference {
            guard let schema = named[reference] else { return ["\(place): no \(reference)"] }
            return schema.problems(of: value, at: place, in: named)
        }
        guard types.isEmpty || !types.isDisjoint(with: Self.types(of: value)) else {
            return ["\(place) is \(value), and not \(types.sorted())"]
        }
        var problems: [String] = []
        if !choices.isEmpty, !choices.contains(value) {
            problems.append("\(place) is \(value), and none of \(choices)")
        }
        switch value {
        case .object(let members):
            for name in required where members[name] == nil {
                problems.append("\(place) lacks \(name)")
            }
            for (name, member) in members.sorted(by: { $0.key < $1.key }) {
                if let schema = properties[name] {
                    problems += schema.problems(of: member, at: "\(place).\(name)", in: named)
                } else if !isOpen {
                    problems.append("\(place).\(name) is not described")
                }
            }
        case .array(let elements):
            if let mostItems, elements.count > mostItems {
                problems.append("\(place) has \(elements.count) elements")
            }
            for (index, element) in elements.enumerated() {
                problems += items.flatMap {
                    $0.problems(of: element, at: "\(place)[\(index)]", in: named)
                }
            }
        case .integer(let number):
            if number < minimum ?? .min || number > maximum ?? .max {
                problems.append("\(place) is \(number)")
            }
        case .string(let text): problems += self.problems(of: text, at: place)
        case .number, .bool, .null: break
        }
        return problems
    }

    private func problems(of text: String, at place: String) -> [String] {
        let fits =
            switch format {
            case "uuid": UUID(uuidString: text)?.uuidString.lowercased() == text
            case "date-time":
                text.wholeMatch(
                    of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/) != nil
            default: true
            }
        let isMatch = pattern.flatMap { try? Regex($0) }.map { text.contains($0) } ?? true
        return (fits ? [] : ["\(place) is \(text), which is no \(format ?? "")"])
            + (isMatch ? [] : ["\(place) is \(text), which does not match \(pattern ?? "")"])
    }

    private static func types(of value: JSONValue) -> Set<String> {
        switch value {
        case .null: ["null"]
        case .bool: ["boolean"]
        case .integer: ["integer", "number"]
        case .number: ["number"]
        case .string: ["string"]
        case .array: ["array"]
        case .object: ["object"]
        }
    }

    /// A header's text as the value that the schema speaks of.
    func value(of header: String) -> JSONValue {
        if types.contains("integer"), let number = Int64(header) { return .integer(number) }
        return .string(header)
    }

    /// Whether any text is such a value.
    var isText: Bool { types == ["string"] }
}
