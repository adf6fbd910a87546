import Crypto
import Foundation
import SwiftASN1
import X509

/// A certificate for localhost that signs itself, in files.
struct TestCertificate {
    let certificate: String
    let key: String

    /// - Parameters:
    ///   - name: of both files, without `.pem` and `.key`.
    ///   - days: until it expires; negative for one that has expired.
    init(in folder: TestFolder, _ name: String, days: Double = 1) throws {
        certificate = "\(folder.path)/\(name).pem"
        key = "\(folder.path)/\(name).key"
        let (pem, keyPEM) = try Self.make(days: days)
        try folder.write(pem, name + ".pem")
        try folder.write(keyPEM, name + ".key")
    }

    private static func make(days: Double) throws -> (certificate: String, key: String) {
        let privateKey = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("localhost") }
        let end = Date().addingTimeInterval(days * 86_400)
        let made = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PrivateKey(privateKey).publicKey,
            notValidBefore: end.addingTimeInterval(-30 * 86_400), notValidAfter: end,
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                SubjectAlternativeNames([
                    .dnsName("localhost"),
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                ])
            }, issuerPrivateKey: Certificate.PrivateKey(privateKey))
        return (try made.serializeAsPEM().pemString, privateKey.pemRepresentation)
    }
}
