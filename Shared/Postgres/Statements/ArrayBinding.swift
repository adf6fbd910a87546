/// A one-dimensional array parameter, built directly in PostgreSQL's binary array format.
///
/// Append values of the element's own type: `json`, `text` and `name` elements are their text,
/// `uuid` elements 16 bytes, `"char"` elements one byte. A wrong type is the server's error 22P03.
package struct ArrayBinding: Sendable {
    /// The version byte that precedes the text of a `jsonb` value in binary form.
    static let jsonbVersion: UInt8 = 1

    /// Dimensions, null flag, element type, length and lower bound: five words.
    private static let headerLength = 20

    package let element: PostgresType
    package private(set) var count = 0
    private var hasNull = false
    private var body: [UInt8] = []

    /// - Parameters:
    ///   - count: how many elements to reserve room for.
    ///   - bytes: how many bytes their values will take together, if known.
    package init(of element: PostgresType, reserving count: Int = 0, bytes: Int = 0) {
        self.element = element
        body.reserveCapacity(count * 4 + (bytes > 0 ? bytes : count * 8))
    }

    package mutating func append(_ value: Int64) {
        append(integer: value)
    }

    package mutating func append(_ value: Int32) {
        append(integer: value)
    }

    package mutating func append(_ value: Int16) {
        append(integer: value)
    }

    package mutating func append(_ value: Bool) {
        append(integer: UInt8(value ? 1 : 0))
    }

    package mutating func append(_ value: Double) {
        append(integer: value.bitPattern)
    }

    /// Appends one `"char"`.
    package mutating func append(char value: UInt8) {
        append(integer: value)
    }

    package mutating func append(_ value: String) {
        var value = value
        value.withUTF8 { append(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// Appends an element by the bytes of its binary form (for `jsonb`, of its text).
    package mutating func append(bytes value: UnsafeRawBufferPointer) {
        beginElement(length: value.count)
        body.append(contentsOf: value)
    }

    /// Appends an element by the bytes of its binary form (for `jsonb`, of its text).
    package mutating func append(bytes value: some Collection<UInt8>) {
        beginElement(length: value.count)
        body.append(contentsOf: value)
    }

    package mutating func appendNull() {
        count += 1
        hasNull = true
        put(Int32(-1))
    }

    /// Appends the whole array's binary form to `buffer`.
    func write(to buffer: inout [UInt8]) {
        func word(_ value: UInt32) {
            withUnsafeBytes(of: value.bigEndian) { buffer.append(contentsOf: $0) }
        }
        buffer.reserveCapacity(buffer.count + Self.headerLength + body.count)
        word(count == 0 ? 0 : 1)
        word(hasNull ? 1 : 0)
        word(element.rawValue)
        if count == 0 { return }
        word(UInt32(count))
        word(1)
        buffer.append(contentsOf: body)
    }

    private mutating func append(integer value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { append(bytes: $0) }
    }

    private mutating func beginElement(length: Int) {
        count += 1
        if element == .jsonb {
            put(Int32(length + 1))
            body.append(Self.jsonbVersion)
        } else {
            put(Int32(length))
        }
    }

    private mutating func put(_ value: Int32) {
        withUnsafeBytes(of: value.bigEndian) { body.append(contentsOf: $0) }
    }
}
