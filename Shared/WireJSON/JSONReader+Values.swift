extension JSONReader {
    /// Passes over one value of any kind, checking all of its grammar, and says where it stood.
    ///
    /// Iterative, so hostile nesting costs heap and not stack; beyond `rules.maximumDepth` it is a flaw.
    package mutating func skipValue() throws(JSONError) -> JSONSlice {
        skipWhitespace()
        let start = position
        let kind = try peek()
        let outerWhitespace = sawWhitespace
        sawWhitespace = false
        flaw = nil
        defer { sawWhitespace = outerWhitespace }
        switch kind {
        case .string: return try scanString()
        case .object, .array: break
        case .number, .bool, .null:
            try passScalar(kind)
            return JSONSlice(
                kind: kind, range: start..<position, flaw: nil, hasEscapes: false,
                hasWhitespace: false)
        }
        containers.removeAll(keepingCapacity: true)
        if rules.refusesDuplicateKeys { keys.reset() }
        repeat {
            if try openOrPassScalar() { continue }
            try closeFinishedContainers()
        } while !containers.isEmpty
        return JSONSlice(
            kind: kind, range: start..<position, flaw: flaw, hasEscapes: false,
            hasWhitespace: sawWhitespace)
    }

    /// Passes over a scalar, or enters a container. True if a value must follow at once.
    private mutating func openOrPassScalar() throws(JSONError) -> Bool {
        let kind = try peek()
        switch kind {
        case .object:
            position += 1
            enter(.object)
            if consume(UInt8(ascii: "}")) {
                leave()
                return false
            }
            try passMemberKey()
            return true
        case .array:
            position += 1
            enter(.array)
            if consume(UInt8(ascii: "]")) {
                leave()
                return false
            }
            return true
        case .string: _ = try scanString()
        case .number, .bool, .null: try passScalar(kind)
        }
        return false
    }

    private mutating func passScalar(_ kind: JSONKind) throws(JSONError) {
        switch kind {
        case .number: try scanNumber()
        case .bool: try scanLiteral(bytes[position] == UInt8(ascii: "t") ? "true" : "false")
        case .null: try scanLiteral("null")
        case .string, .object, .array: break
        }
    }

    private mutating func enter(_ kind: JSONKind) {
        containers.append(kind)
        if kind == .object, comparesKeys { keys.enterObject() }
        if containers.count > rules.maximumDepth {
            remember(.nestedTooDeeply(limit: rules.maximumDepth))
        }
    }

    /// After a value: closes every container that ends here, or stops before the next value.
    private mutating func closeFinishedContainers() throws(JSONError) {
        while let container = containers.last {
            if consume(UInt8(ascii: ",")) {
                if container == .object { try passMemberKey() }
                return
            }
            let end = container == .object ? UInt8(ascii: "}") : UInt8(ascii: "]")
            guard consume(end) else {
                throw error(
                    container == .object ? "',' or '}' was expected" : "',' or ']' was expected")
            }
            leave()
        }
    }

    private mutating func leave() {
        let comparesKeys = comparesKeys
        if containers.popLast() == .object, comparesKeys { keys.leaveObject() }
    }

    /// Not deeper than is allowed: such a value is flawed already, and millions of objects in each other would all
    /// be remembered.
    private var comparesKeys: Bool {
        rules.refusesDuplicateKeys && containers.count <= rules.maximumDepth
    }

    private mutating func passMemberKey() throws(JSONError) {
        skipWhitespace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            throw error("a key in quotes was expected")
        }
        let key = try scanString()
        if comparesKeys, !keys.insert(key, in: bytes) { remember(.duplicateKey) }
        guard consume(UInt8(ascii: ":")) else { throw error("':' was expected") }
    }

    /// Keeps the first flaw: one clear reason is enough to refuse a value.
    mutating func remember(_ found: JSONFlaw) {
        if flaw == nil { flaw = found }
    }

    private mutating func scanLiteral(_ literal: StaticString) throws(JSONError) {
        let count = literal.utf8CodeUnitCount
        guard position + count <= bytes.count else {
            throw error("the text ends inside '\(literal)'")
        }
        for index in 0..<count where bytes[position + index] != literal.utf8Start[index] {
            throw error("'\(literal)' was expected")
        }
        position += count
    }

    mutating func scanNumber() throws(JSONError) {
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        let firstDigit = position
        try scanDigits()
        if bytes[firstDigit] == UInt8(ascii: "0"), position > firstDigit + 1 {
            throw JSONError("a number cannot start with 0", at: firstDigit)
        }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            try scanDigits()
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < bytes.count,
                bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-")
            {
                position += 1
            }
            try scanDigits()
        }
    }

    private mutating func scanDigits() throws(JSONError) {
        let start = position
        while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
        if position == start { throw error("a digit was expected") }
    }
}
