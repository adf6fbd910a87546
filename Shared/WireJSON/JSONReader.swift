/// A cursor over JSON text that hands out slices of it.
///
/// It checks the whole grammar (RFC 8259) and builds nothing: payloads go from the request to PostgreSQL
/// and from the page to SQLite as the bytes they arrived in. The bytes must outlive the reader. It keeps its
/// stacks between values, so a document of a thousand changes allocates a handful of times.
package struct JSONReader {
    package let bytes: UnsafeBufferPointer<UInt8>
    package let rules: JSONRules
    /// Byte offset of the next unread byte.
    package internal(set) var position = 0

    var containers: [JSONKind] = []
    var keys = KeyRegister()
    var flaw: JSONFlaw?
    var sawWhitespace = false

    package init(_ bytes: UnsafeBufferPointer<UInt8>, rules: JSONRules = JSONRules()) {
        self.bytes = bytes
        self.rules = rules
    }

    /// The kind of the value that comes next; white space before it is passed over.
    package mutating func peek() throws(JSONError) -> JSONKind {
        skipWhitespace()
        guard position < bytes.count else { throw error("the text ends where a value should be") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw error("no JSON value starts here")
        }
    }

    /// Reads an object, giving each key and leaving the reader before its value, which `member` must consume.
    package mutating func readObject(
        _ member: (inout JSONReader, JSONSlice) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard try peek() == .object else { throw error("an object was expected") }
        position += 1
        if consume(UInt8(ascii: "}")) { return }
        repeat {
            let key = try readKey()
            try member(&self, key)
        } while consume(UInt8(ascii: ","))
        guard consume(UInt8(ascii: "}")) else { throw error("',' or '}' was expected") }
    }

    /// Reads an array, leaving the reader before each element, which `element` must consume.
    package mutating func readArray(
        _ element: (inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard try peek() == .array else { throw error("an array was expected") }
        position += 1
        if consume(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while consume(UInt8(ascii: ","))
        guard consume(UInt8(ascii: "]")) else { throw error("',' or ']' was expected") }
    }

    /// Reads a string that must be whole: a lone surrogate or bad UTF-8 is an error here.
    package mutating func readString() throws(JSONError) -> String {
        let slice = try readStringSlice()
        guard let text = text(of: slice) else {
            throw JSONError("the string is not valid Unicode", at: slice.range.lowerBound)
        }
        return text
    }

    /// Passes over a string.
    package mutating func readStringSlice() throws(JSONError) -> JSONSlice {
        guard try peek() == .string else { throw error("a string was expected") }
        flaw = nil
        return try scanString()
    }

    /// Reads an integer; a fraction, an exponent or a value beyond 64 bits is an error.
    package mutating func readInt64() throws(JSONError) -> Int64 {
        guard try peek() == .number else { throw error("an integer was expected") }
        let start = position
        try scanNumber()
        guard let value = Self.integer(in: start..<position, of: bytes) else {
            throw JSONError("a 64-bit integer was expected", at: start)
        }
        return value
    }

    package mutating func readBool() throws(JSONError) -> Bool {
        guard try peek() == .bool else { throw error("true or false was expected") }
        return bytes[try skipValue().range.lowerBound] == UInt8(ascii: "t")
    }

    package mutating func readNull() throws(JSONError) {
        guard try peek() == .null else { throw error("null was expected") }
        _ = try skipValue()
    }

    /// Fails unless only white space is left.
    package mutating func expectEnd() throws(JSONError) {
        skipWhitespace()
        guard position == bytes.count else { throw error("there is text after the JSON value") }
    }

    /// Reads `"key" :`.
    mutating func readKey() throws(JSONError) -> JSONSlice {
        skipWhitespace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            throw error("a key in quotes was expected")
        }
        flaw = nil
        let key = try scanString()
        guard consume(UInt8(ascii: ":")) else { throw error("':' was expected") }
        return key
    }

    /// Passes over white space and then `byte`, if it is there.
    @inline(__always)
    mutating func consume(_ byte: UInt8) -> Bool {
        skipWhitespace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    /// Mostly there is none, and that is seen here.
    @inline(__always)
    mutating func skipWhitespace() {
        if position < bytes.count, bytes[position] <= 0x20 { passWhitespace() }
    }

    private mutating func passWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D:
                position += 1
                sawWhitespace = true
            default: return
            }
        }
    }

    func error(_ reason: String) -> JSONError { JSONError(reason, at: position) }
}
