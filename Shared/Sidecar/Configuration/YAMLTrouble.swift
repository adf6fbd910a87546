import Yams

/// What is wrong with a file of YAML, in words of people who write one.
package enum YAMLTrouble {
    /// - Parameters:
    ///   - error: of a parser, or of a decoder.
    ///   - document: what was decoded; it tells the line.
    package static func text(_ error: any Error, in document: Node?) -> String {
        switch error {
        case let error as YamlError: syntax(error)
        case DecodingError.keyNotFound(let key, let context):
            place(context.codingPath + [key], document) + "is missing"
        case DecodingError.typeMismatch(let type, let context),
            DecodingError.valueNotFound(let type, let context):
            place(context.codingPath, document)
                + "has the wrong type: it must be \(name(of: type))"
        case DecodingError.dataCorrupted(let context):
            if let cause = context.underlyingError as? YamlError {
                syntax(cause)
            } else {
                place(context.codingPath, document) + "cannot be read"
            }
        default: "cannot be read"
        }
    }

    private static func syntax(_ error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return "line \(mark.line), column \(mark.column): \(plain(problem))"
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.sorted().joined(separator: ", ")
            return "line \(context.mark.line): a key stands more than once: \(names)"
        case .reader(let problem, _, _, _): return "is no text: \(problem)"
        default: return "is not YAML"
        }
    }

    /// What the parser says, where its words do not help who writes a file.
    private static func plain(_ problem: String) -> String {
        if problem.contains("cannot start any token") {
            "\(problem): indent with spaces, not tabs, and quote texts that begin with @ or `"
        } else if problem.hasPrefix("Maximum nesting level") {
            "lists and keys are nested too deep"
        } else {
            problem
        }
    }

    /// Where a value stands, such as `line 3: tables[0].except `. The line of one that is missing
    /// is that of what it belongs to.
    private static func place(_ path: [any CodingKey], _ document: Node?) -> String {
        var name = ""
        var node = document
        var line = document?.mark?.line
        for key in path {
            if let index = key.intValue {
                name += "[\(index)]"
                let list = node?.sequence
                node = list.flatMap { $0.indices.contains(index) ? $0[index] : nil }
            } else {
                name += (name.isEmpty ? "" : ".") + key.stringValue
                node = node?.mapping?[key.stringValue]
            }
            line = node?.mark?.line ?? line
        }
        return (line.map { "line \($0): " } ?? "") + (name.isEmpty ? "it" : name) + " "
    }

    /// What a reader of the file calls a type of the decoder.
    private static func name(of type: Any.Type) -> String {
        let name = "\(type)"
        return if ["Array", "Sequence", "Set"].contains(where: name.hasPrefix) {
            "a list"
        } else if ["Dictionary", "Mapping"].contains(where: name.hasPrefix) {
            "keys with values"
        } else if name == "Bool" {
            "true or false"
        } else if name.hasPrefix("Int") || name.hasPrefix("UInt") {
            "a whole number"
        } else {
            "a text"
        }
    }
}
