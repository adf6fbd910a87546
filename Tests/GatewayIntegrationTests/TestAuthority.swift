import AsyncHTTPClient
import Crypto
import Foundation
import NIOSSL
import SwiftASN1
import X509

/// An authority that signs client certificates.
struct TestAuthority {
    private let key = P256.Signing.PrivateKey()
    private let name: DistinguishedName
    /// Its certificate, in a file.
    let path: String

    init(_ name: String, in directory: String) throws {
        self.name = try DistinguishedName { CommonName(name) }
        path = "\(directory)/\(name).pem"
        let made = try Self.certificate(
            for: Certificate.PrivateKey(key).publicKey, named: self.name, by: self.name, key,
            age: 300, lifetime: 3600,
            try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
            })
        try made.serializeAsPEM().pemString.write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// A client's certificate and key.
    struct Identity {
        let certificate: NIOSSLCertificate
        let key: NIOSSLPrivateKey

        func present(in tls: inout TLSConfiguration) {
            tls.certificateChain = [.certificate(certificate)]
            tls.privateKey = .privateKey(key)
        }
    }

    /// - Parameters:
    ///   - usage: what the certificate is for.
    ///   - age: for how many seconds it has been valid.
    ///   - lifetime: for how many seconds it is valid from now on.
    func identity(
        _ subject: DistinguishedName, _ names: [GeneralName] = [],
        usage: ExtendedKeyUsage.Usage = .clientAuth, age: TimeInterval = 300,
        lifetime: TimeInterval = 600
    ) throws -> Identity {
        let own = P256.Signing.PrivateKey()
        let made = try Self.certificate(
            for: Certificate.PrivateKey(own).publicKey, named: subject, by: name, key, age: age,
            lifetime: lifetime,
            try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                try ExtendedKeyUsage([usage])
                if !names.isEmpty { SubjectAlternativeNames(names) }
            })
        return Identity(
            certificate: try NIOSSLCertificate(
                bytes: Array(made.serializeAsPEM().pemString.utf8), format: .pem),
            key: try NIOSSLPrivateKey(bytes: Array(own.pemRepresentation.utf8), format: .pem))
    }

    private static func certificate(
        for key: Certificate.PublicKey, named subject: DistinguishedName,
        by issuer: DistinguishedName, _ signer: P256.Signing.PrivateKey, age: TimeInterval,
        lifetime: TimeInterval, _ extensions: Certificate.Extensions
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
            notValidBefore: Date().addingTimeInterval(-age),
            notValidAfter: Date().addingTimeInterval(lifetime), issuer: issuer, subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions,
            issuerPrivateKey: Certificate.PrivateKey(signer))
    }
}

/// Calls `body` with a folder for certificates.
func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = "/tmp/oversync-ca-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
}

extension RunningGateway {
    /// Runs `body` with a client that shows a certificate.
    func withClient(
        showing identity: TestAuthority.Identity?, isHTTP2: Bool = true,
        _ body: (HTTPClient) async throws -> Void
    ) async throws {
        var configuration = try Self.configuration(
            certificate, httpVersion: isHTTP2 ? .automatic : .http1Only)
        if let identity, var tls = configuration.tlsConfiguration {
            identity.present(in: &tls)
            configuration.tlsConfiguration = tls
        }
        // What is refused is not tried for long.
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            try await body(client)
        } catch {
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }
}
