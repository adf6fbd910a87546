import Crypto
import Foundation
import SwiftASN1
import X509

/// A certificate for 127.0.0.1 that signs itself, in files.
struct TestCertificate {
    let certificate: String
    let key: String

    init(in directory: String) throws {
        certificate = directory + "/server.pem"
        key = directory + "/server.key"
        let privateKey = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("localhost") }
        let now = Date()
        let made = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PrivateKey(privateKey).publicKey,
            notValidBefore: now.addingTimeInterval(-300),
            notValidAfter: now.addingTimeInterval(3600),
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                SubjectAlternativeNames([
                    .dnsName("localhost"),
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                ])
            }, issuerPrivateKey: Certificate.PrivateKey(privateKey))
        try made.serializeAsPEM().pemString.write(
            toFile: certificate, atomically: true, encoding: .utf8)
        try privateKey.pemRepresentation.write(toFile: key, atomically: true, encoding: .utf8)
    }
}
