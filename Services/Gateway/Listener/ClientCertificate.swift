import Foundation
import NIOSSL
import ServiceKit
import SwiftASN1
import X509

/// Which clients show certificates, and whose.
enum ClientCertificateSettings {
    static let clients = Setting.text(
        "OVERSYNC_CLIENT_CA",
        "path of the certificates (PEM) that sign those of back ends; with it /auth/token takes a "
            + "client certificate in place of a secret")
    static let administrators = Setting.text(
        "OVERSYNC_GATEWAY_ADMIN_CLIENT_CA",
        "path of the certificates (PEM) that sign those of administrators; with it their port "
            + "takes no connection without one")

    static let all: [any DescribedSetting] = [clients, administrators]
}

/// What a certificate that was verified says of its client.
struct ClientCertificate: Hashable, Sendable {
    /// Most names that are looked at.
    private static let maximumNames = 32
    /// Longest name, in bytes.
    private static let maximumNameBytes = 256

    /// As the file of clients writes them: `dns:…`, `uri:…` and `subject:…`.
    let names: [String]

    /// - Returns: nil for a certificate that is unreadable or expired: a connection that resumes an
    ///   earlier one is not verified again.
    init?(_ certificate: NIOSSLCertificate, now: Date = Date()) {
        guard let bytes = try? certificate.toDERBytes(),
            let parsed = try? Certificate(derEncoded: bytes), parsed.notValidBefore <= now,
            now < parsed.notValidAfter
        else { return nil }
        var names = ["subject:\(parsed.subject)"]
        let others: SubjectAlternativeNames? = try? parsed.extensions.subjectAlternativeNames
        for name in others ?? SubjectAlternativeNames([]) {
            switch name {
            case .dnsName(let name): names.append("dns:\(name)")
            case .uniformResourceIdentifier(let uri): names.append("uri:\(uri)")
            default: continue
            }
        }
        self.names = Array(
            names.prefix(Self.maximumNames).filter { $0.utf8.count <= Self.maximumNameBytes })
    }
}
