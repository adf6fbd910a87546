import Crypto
import Foundation
import Testing
import Tokens

@Suite("Token mint")
struct TokenMintTests {
    @Test(
        "A shared secret of any length signs what plain HMAC-SHA256 with it signs",
        arguments: [8, 31, 32, 100])
    func secrets(length: Int) async throws {
        let secret = String(repeating: "s", count: length)
        let claims = DeviceClaims(
            user: "u", device: "d", issuer: nil, audience: nil, now: 1_700_000_000, lifetime: 60)
        let token = try await TokenMint(hs256: secret).sign(claims)
        let parts = token.split(separator: ".")
        try #require(parts.count == 3)
        let mac = HMAC<SHA256>.authenticationCode(
            for: Data("\(parts[0]).\(parts[1])".utf8), using: SymmetricKey(data: Data(secret.utf8)))
        let expected = Data(mac).base64EncodedString().replacing("+", with: "-").replacing(
            "/", with: "_"
        )
        .replacing("=", with: "")
        #expect(String(parts[2]) == expected)
    }
}
