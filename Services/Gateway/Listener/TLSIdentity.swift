import Foundation
import NIOSSL
import ServiceKit
import Synchronization
import Telemetry

/// The gateway's certificate and key, and whose certificates its clients show. A new connection
/// takes those that were read last; open ones go on with theirs.
final class TLSIdentity: Sendable {
    /// Where the files are.
    struct Files: Hashable, Sendable {
        let certificate: String
        let key: String
        /// Those that sign clients' certificates; nil where devices' connections are asked for
        /// none.
        var clients: String?
        /// The same of the administrators' port, which then takes no connection without one.
        var administrators: String?

        var all: [String] { [certificate, key] + [clients, administrators].compactMap(\.self) }
    }

    /// Whose connections a listener takes.
    enum Door: Hashable, Sendable {
        case devices, administrators
    }

    private struct Current {
        let content: Content
        let contexts: [Door: NIOSSLContext]
        /// When the gateway's certificate expires, in seconds since 1970.
        let end: Int

        init(_ content: Content, _ files: Files) throws(ConfigurationError) {
            self.content = content
            (contexts, end) = try content.contexts(files)
        }
    }

    private let files: Files
    private let current: Mutex<Current>

    /// - Throws: `ConfigurationError` naming the file that cannot be used.
    init(_ files: Files) throws(ConfigurationError) {
        self.files = files
        current = Mutex(try Current(try Content(files), files))
    }

    /// For a new connection.
    func context(for door: Door) throws -> NIOSSLContext {
        guard let context = current.withLock({ $0.contexts[door] }) else {
            throw NIOSSLError.failedToLoadCertificate
        }
        return context
    }

    /// Whether clients are asked for a certificate.
    func asksClients(at door: Door) -> Bool {
        switch door {
        case .devices: files.clients != nil
        case .administrators: files.administrators != nil
        }
    }

    /// Reads the files again.
    ///
    /// - Returns: whether they have changed.
    /// - Throws: `ConfigurationError` when they cannot be used; what was read before stays.
    func reload() throws(ConfigurationError) -> Bool {
        let content = try Content(files)
        guard content != current.withLock({ $0.content }) else { return false }
        let fresh = try Current(content, files)
        current.withLock { $0 = fresh }
        return true
    }

    /// When the certificate of new connections expires.
    func report(to metrics: MetricsRegistry) {
        metrics.value(
            "oversync_gateway_certificate_expiry_timestamp_seconds",
            "When the TLS certificate expires, in seconds since 1970"
        ) { [weak self] in (self?.current.withLock { $0.end }).map(Double.init) }
    }

    /// Everything that is wrong with the files.
    static func problems(_ files: Files) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            _ = try Content(files).contexts(files)
            return []
        } catch {
            // The key is looked at by itself when the certificate stops the check before it.
            guard error.key == GatewaySettings.certificateSetting.key else { return [error] }
            do throws(ConfigurationError) {
                _ = try Content.privateKey(files)
                return [error]
            } catch let other {
                return [error, other]
            }
        }
    }
}

extension TLSIdentity {
    /// The bytes of the files.
    private struct Content: Hashable {
        private static let begin = "-----BEGIN "
        /// Of TLS 1.2: those with AEAD and forward secrecy alone. TLS 1.3 has no others.
        private static let suites: [NIOTLSCipher] = [
            .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ]

        let certificate: [UInt8]
        let key: [UInt8]
        let clients: [UInt8]?
        let administrators: [UInt8]?

        init(_ files: Files) throws(ConfigurationError) {
            certificate = try Self.read(files.certificate, GatewaySettings.certificateSetting)
            key = try Self.read(files.key, GatewaySettings.keySetting)
            clients = try Self.readIfNamed(files.clients, ClientCertificateSettings.clients)
            administrators = try Self.readIfNamed(
                files.administrators, ClientCertificateSettings.administrators)
        }

        private static func readIfNamed(
            _ path: String?, _ setting: Setting<String>
        ) throws(ConfigurationError) -> [UInt8]? {
            guard let path else { return nil }
            return try read(path, setting)
        }

        private static func read(
            _ path: String, _ setting: Setting<String>
        ) throws(ConfigurationError) -> [UInt8] {
            guard !path.hasPrefix(begin) else {
                throw ConfigurationError(
                    key: setting.key,
                    reason: "must be a path, not the PEM text itself: set \(setting.key) to the "
                        + "path, rather than \(setting.key)_FILE")
            }
            do {
                return try SettingFile.bytes(of: path)
            } catch {
                throw ConfigurationError(key: setting.key, reason: error.reason)
            }
        }

        static func privateKey(_ files: Files) throws(ConfigurationError) -> NIOSSLPrivateKey {
            try privateKey(try read(files.key, GatewaySettings.keySetting), files.key)
        }

        private static func privateKey(
            _ bytes: [UInt8], _ path: String
        ) throws(ConfigurationError) -> NIOSSLPrivateKey {
            let setting = GatewaySettings.keySetting.key
            // Both forms of an encrypted key say so in their text (RFC 7468 §11, RFC 1421 §4.6.1.1).
            guard !String(decoding: bytes, as: UTF8.self).contains("ENCRYPTED") else {
                throw ConfigurationError(
                    key: setting,
                    reason: "names \(path), which is encrypted; decrypt it with: "
                        + "openssl pkey -in \(path) -out plain.key")
            }
            do {
                return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
            } catch {
                throw ConfigurationError(
                    key: setting, reason: "names \(path), which is not a PEM private key")
            }
        }

        func contexts(
            _ files: Files
        ) throws(ConfigurationError) -> (contexts: [Door: NIOSSLContext], end: Int) {
            let chain = try chain(files)
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) },
                privateKey: .privateKey(try Self.privateKey(key, files.key)))
            tls.minimumTLSVersion = .tlsv12
            tls.cipherSuiteValues = Self.suites
            tls.applicationProtocols = ["h2", "http/1.1"]
            let plain = try Self.context(tls, files)
            var contexts: [Door: NIOSSLContext] = [.devices: plain, .administrators: plain]
            if let clients {
                tls.trustRoots = .certificates(
                    try Self.authorities(
                        clients, files.clients, ClientCertificateSettings.clients))
                // Devices have none.
                tls.certificateVerification = .optionalVerification
                contexts[.devices] = try Self.context(tls, files)
            }
            if let administrators {
                tls.trustRoots = .certificates(
                    try Self.authorities(
                        administrators, files.administrators,
                        ClientCertificateSettings.administrators))
                // Clients have no host name that is expected.
                tls.certificateVerification = .noHostnameVerification
                contexts[.administrators] = try Self.context(tls, files)
            }
            return (contexts, chain.first?.notValidAfter ?? 0)
        }

        private static func authorities(
            _ bytes: [UInt8], _ path: String?, _ setting: Setting<String>
        ) throws(ConfigurationError) -> [NIOSSLCertificate] {
            let authorities = try? NIOSSLCertificate.fromPEMBytes(bytes)
            guard let authorities, !authorities.isEmpty else {
                throw ConfigurationError(
                    key: setting.key,
                    reason: "names \(path ?? ""), which has no PEM certificates")
            }
            return authorities
        }

        private static func context(
            _ tls: TLSConfiguration, _ files: Files
        ) throws(ConfigurationError) -> NIOSSLContext {
            do {
                return try NIOSSLContext(configuration: tls)
            } catch {
                // Each is good by itself.
                throw ConfigurationError(
                    key: GatewaySettings.keySetting.key,
                    reason: "names \(files.key), which does not belong to the certificate in "
                        + "\(files.certificate) (\(GatewaySettings.certificateSetting.key)); "
                        + "set a key and a certificate that were made for each other")
            }
        }

        private func chain(_ files: Files) throws(ConfigurationError) -> [NIOSSLCertificate] {
            let setting = GatewaySettings.certificateSetting.key
            let chain = try? NIOSSLCertificate.fromPEMBytes(certificate)
            guard let chain, let leaf = chain.first else {
                throw ConfigurationError(
                    key: setting,
                    reason: "names \(files.certificate), which is not a PEM certificate")
            }
            let end = Date(timeIntervalSince1970: TimeInterval(leaf.notValidAfter))
            guard end > Date() else {
                throw ConfigurationError(
                    key: setting,
                    reason: "names \(files.certificate), which expired on "
                        + "\(end.ISO8601Format()); replace it with a valid certificate")
            }
            return chain
        }
    }
}
