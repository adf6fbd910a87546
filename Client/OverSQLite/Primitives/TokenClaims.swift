import Foundation

/// The user and the device of a bearer token, read without checking the signature, which the
/// gateway does. Here they only keep users' rows apart and tell own changes from others'.
struct TokenClaims: Hashable, Sendable {
    /// The token's `sub`; nil if the token cannot be read.
    var user: String?
    /// The token's `did`; nil if the token cannot be read or has none.
    var device: String?

    /// Whether the token says who the user is, and not on which device.
    var namesUserAlone: Bool { user != nil && device == nil }

    init(token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let claims = Self.object(in: parts[1]) else { return }
        user = claims.sub
        device = claims.did
    }

    private struct Claims: Decodable {
        var sub: String?
        var did: String?
    }

    private static func object(in part: Substring) -> Claims? {
        var text = String(part).replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        return Data(base64Encoded: text).flatMap {
            try? JSONDecoder().decode(Claims.self, from: $0)
        }
    }
}
