import Postgres

/// A statement with its values: a run binds them, a plan shows them in place.
struct BoundStatement {
    enum Value {
        case text(String?)
        case texts([String]?)
        case bool(Bool)
    }

    /// The longest line of an array in a plan, in characters.
    private static let lineLength = 96

    let statement: Statement
    let values: [Value]

    init(_ statement: Statement, _ values: [Value]) {
        self.statement = statement
        self.values = values
    }

    var command: Command {
        var bindings = Bindings()
        for value in values {
            switch value {
            case .text(let text): bindings.bind(text)
            case .texts(nil): bindings.bind(bytes: nil)
            case .texts(let texts?):
                var array = ArrayBinding(of: .text, reserving: texts.count)
                for text in texts { array.append(text) }
                bindings.bind(array)
            case .bool(let flag): bindings.bind(flag)
            }
        }
        return Command(statement, bindings)
    }

    /// The statement's text with its values instead of `$1`, `$2`, …
    var text: String {
        var text = ""
        var rest = statement.sql[...]
        while let dollar = rest.firstIndex(of: "$") {
            text += rest[..<dollar]
            rest = rest[dollar...].dropFirst()
            let digits = rest.prefix { $0.isWholeNumber }
            rest = rest[digits.endIndex...]
            guard let number = Int(digits), values.indices.contains(number - 1) else {
                text += "$" + digits
                continue
            }
            // A cast that the statement makes itself is enough.
            text += Self.literal(values[number - 1], isCast: rest.starts(with: "::"))
        }
        return text + rest
    }

    private static func literal(_ value: Value, isCast: Bool) -> String {
        let (literal, type) =
            switch value {
            case .text(let text): (text.map(Sidecar.literal) ?? "NULL", "text")
            case .texts(let texts): (texts.map(array) ?? "NULL", "text[]")
            case .bool(let flag): (flag ? "true" : "false", "boolean")
            }
        return isCast ? literal : "\(literal)::\(type)"
    }

    private static func array(_ texts: [String]) -> String {
        var lines = [""]
        for (index, text) in texts.enumerated() {
            let item = Sidecar.literal(text) + (index < texts.count - 1 ? "," : "")
            let line = lines[lines.count - 1]
            if line.isEmpty {
                lines[lines.count - 1] = item
            } else if line.count + 1 + item.count <= lineLength {
                lines[lines.count - 1] = "\(line) \(item)"
            } else {
                lines.append(item)
            }
        }
        if lines.count == 1 { return "ARRAY[\(lines[0])]" }
        return "ARRAY[\n" + lines.map { "    \($0)" }.joined(separator: "\n") + "\n]"
    }
}
