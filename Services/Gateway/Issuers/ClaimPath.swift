import JWTKit

/// Where a token has a claim, such as `sub`, `realm_access.roles` or `https://example.com/roles`.
struct ClaimPath: Hashable, Sendable {
    /// Most names of one path.
    private static let maximumLevels = 8

    let levels: [String]

    /// A claim of one name.
    init(name: String) { levels = [name] }

    /// - Returns: nil for a list that names no claim.
    init?(levels: [String]) {
        guard (1...Self.maximumLevels).contains(levels.count), levels.allSatisfy({ !$0.isEmpty })
        else { return nil }
        self.levels = levels
    }

    /// Dots go from an object to its member. A name with a slash or a colon is one name, dots and
    /// all: names that issuers keep apart by a URL look like that.
    init?(_ text: String) {
        guard !text.contains(where: { $0 == "/" || $0 == ":" }) else {
            self.init(levels: [text])
            return
        }
        self.init(
            levels: text.split(separator: ".", omittingEmptySubsequences: false).map(String.init))
    }
}

/// A value in a token.
enum ClaimValue: Codable, Hashable, Sendable {
    case text(String)
    case number(Double)
    case list([ClaimValue])
    case object([String: ClaimValue])
    /// True, false or null.
    case other

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        self =
            if let text = try? container.decode(String.self) {
                .text(text)
            } else if let number = try? container.decode(Double.self) {
                .number(number)
            } else if let list = try? container.decode([ClaimValue].self) {
                .list(list)
            } else if let object = try? container.decode([String: ClaimValue].self) {
                .object(object)
            } else {
                .other
            }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .list(let list): try container.encode(list)
        case .object(let object): try container.encode(object)
        case .other: try container.encodeNil()
        }
    }

    subscript(path: ClaimPath) -> ClaimValue? {
        var value = self
        for level in path.levels {
            guard case .object(let members) = value, let member = members[level] else { return nil }
            value = member
        }
        return value
    }

    subscript(name: String) -> ClaimValue? {
        guard case .object(let members) = self else { return nil }
        return members[name]
    }

    var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }

    var number: Double? {
        guard case .number(let number) = self else { return nil }
        return number
    }

    /// A list of texts, or one text; nil for anything else.
    var texts: [String]? {
        switch self {
        case .text(let text): return [text]
        case .list(let list):
            let texts = list.compactMap(\.text)
            return texts.count == list.count ? texts : nil
        case .number, .object, .other: return nil
        }
    }
}

/// All claims of an issuer's token. What they mean is the issuer's settings' to say.
struct IssuerClaims: JWTPayload {
    let all: ClaimValue

    init(from decoder: any Decoder) throws { all = try ClaimValue(from: decoder) }

    func encode(to encoder: any Encoder) throws { try all.encode(to: encoder) }

    /// Times and parties are checked by `TokenVerifier`, by its own clock and settings.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}
