import JWTKit

extension HMACKey {
    /// What JWTKit demands of a key, in bytes; many back ends have shorter secrets.
    private static let minimumBytes = 32

    /// The key of a secret of any length.
    ///
    /// HMAC fills a short one up with zeros in any case (RFC 2104 §2): the padded one gives the same
    /// signatures.
    package init(sharedSecret secret: String) {
        let bytes = Array(secret.utf8)
        let padding = [UInt8](repeating: 0, count: max(0, Self.minimumBytes - bytes.count))
        self.init(from: bytes + padding)
    }
}
