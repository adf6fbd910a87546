import Crypto
import Foundation
import OperatorKit
import SwiftASN1
import X509

/// A certificate authority for this machine alone, and a certificate for its loopback names.
package struct DevelopmentCertificates: Sendable {
    /// How long they are valid. They are replaced when less than a tenth of that time is left.
    private static let lifetimeDays = 365.0

    package let authority: String
    package let certificate: String
    package let key: String

    /// Makes what is missing or about to expire in `directory`.
    package init(in directory: String) throws {
        authority = directory + "/ca.pem"
        certificate = directory + "/server.pem"
        key = directory + "/server.key"
        if !isFresh { try make() }
    }

    private var isFresh: Bool {
        guard let pem = try? String(contentsOfFile: certificate, encoding: .utf8),
            let parsed = try? Certificate(pemEncoded: pem),
            FileManager.default.fileExists(atPath: authority),
            FileManager.default.fileExists(atPath: key)
        else { return false }
        return parsed.notValidAfter > Date().addingTimeInterval(Self.lifetimeDays * 8640)
    }

    private func make() throws {
        let authorityKey = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let authorityName = try DistinguishedName { CommonName("Oversync development authority") }
        let authorityCertificate = try Self.certificate(
            for: authorityKey.publicKey, named: authorityName, issuer: authorityName,
            signedBy: authorityKey,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
            })
        let serverKey = P256.Signing.PrivateKey()
        let serverCertificate = try Self.certificate(
            for: Certificate.PrivateKey(serverKey).publicKey,
            named: try DistinguishedName { CommonName("localhost") }, issuer: authorityName,
            signedBy: authorityKey,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames([
                    .dnsName("localhost"),
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                    .ipAddress(ASN1OctetString(contentBytes: Array(repeating: 0, count: 15) + [1])),
                ])
            })
        try write(authorityCertificate.serializeAsPEM().pemString, to: authority, mode: 0o644)
        try write(serverCertificate.serializeAsPEM().pemString, to: certificate, mode: 0o644)
        try write(serverKey.pemRepresentation, to: key, mode: 0o600)
    }

    private static func certificate(
        for publicKey: Certificate.PublicKey, named subject: DistinguishedName,
        issuer: DistinguishedName,
        signedBy signer: Certificate.PrivateKey, extensions: Certificate.Extensions
    ) throws -> Certificate {
        let now = Date()
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
            notValidBefore: now.addingTimeInterval(-300),
            notValidAfter: now.addingTimeInterval(lifetimeDays * 86_400), issuer: issuer,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions, issuerPrivateKey: signer)
    }

    private func write(_ text: String, to path: String, mode: Int) throws {
        let created = FileManager.default.createFile(
            atPath: path, contents: Data((text + "\n").utf8), attributes: [.posixPermissions: mode])
        guard created else { throw StackError("cannot write \(path)") }
    }
}
