/// Text that is not JSON at all: the whole document is refused.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What the grammar wanted, in words fit for an answer to the caller.
    package let reason: String
    /// Byte offset into the document.
    package let offset: Int

    package init(_ reason: String, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    package var description: String { "\(reason) at byte \(offset)" }
}

/// A value that the JSON grammar allows and that PostgreSQL or another client could not take.
///
/// A flaw belongs to the one value that has it (protocol rule V8): a reader notes it and goes on, so that
/// one bad payload never causes the refusal of other changes.
package enum JSONFlaw: Hashable, Sendable, CustomStringConvertible {
    case nulCharacter
    case loneSurrogate
    case duplicateKey
    case nestedTooDeeply(limit: Int)
    case invalidUTF8

    package var description: String {
        switch self {
        case .nulCharacter: "contains the character \\u0000, which PostgreSQL cannot store"
        case .loneSurrogate: "contains half of a \\u surrogate pair"
        case .duplicateKey: "contains an object with the same key twice"
        case .nestedTooDeeply(let limit): "is nested more than \(limit) levels deep"
        case .invalidUTF8: "is not valid UTF-8"
        }
    }
}

/// What kind of JSON value starts at a position.
package enum JSONKind: Hashable, Sendable {
    case object, array, string, number, bool, null
}

/// One value inside a document: where it stands, and what is to be known without reading it again.
package struct JSONSlice: Hashable, Sendable {
    package let kind: JSONKind
    /// Byte range of the whole value, quotes and braces included.
    package let range: Range<Int>
    /// The first flaw inside the value, if any.
    package let flaw: JSONFlaw?
    /// A string with at least one backslash.
    package let hasEscapes: Bool
    /// White space between tokens inside the value: the compact form differs from the text.
    package let hasWhitespace: Bool

    package init(
        kind: JSONKind, range: Range<Int>, flaw: JSONFlaw?, hasEscapes: Bool, hasWhitespace: Bool
    ) {
        self.kind = kind
        self.range = range
        self.flaw = flaw
        self.hasEscapes = hasEscapes
        self.hasWhitespace = hasWhitespace
    }

    /// The bytes between a string's quotes.
    @inlinable package var content: Range<Int> { (range.lowerBound + 1)..<(range.upperBound - 1) }
}

/// The limits a reader applies to one value.
package struct JSONRules: Hashable, Sendable {
    /// Nesting levels over which a value is flawed (protocol rule V8).
    package static let maximumDepth = 64

    package var maximumDepth: Int
    package var refusesDuplicateKeys: Bool

    package init(maximumDepth: Int = JSONRules.maximumDepth, refusesDuplicateKeys: Bool = true) {
        self.maximumDepth = maximumDepth
        self.refusesDuplicateKeys = refusesDuplicateKeys
    }
}
