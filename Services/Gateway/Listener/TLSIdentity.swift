import Foundation
import NIOSSL
import ServiceKit
import Synchronization

/// The gateway's certificate and key. A new connection takes those that were read last; open ones go on with theirs.
final class TLSIdentity: Sendable {
    /// Where the two files are.
    struct Files: Hashable, Sendable {
        let certificate: String
        let key: String
    }

    private struct Current {
        var content: Content
        var context: NIOSSLContext
    }

    private let files: Files
    private let current: Mutex<Current>

    /// - Throws: `ConfigurationError` naming the file that cannot be used.
    init(_ files: Files) throws(ConfigurationError) {
        self.files = files
        let content = try Content(files)
        current = Mutex(Current(content: content, context: try content.context(files)))
    }

    /// For a new connection.
    var context: NIOSSLContext { current.withLock { $0.context } }

    /// Reads the files again.
    ///
    /// - Returns: whether they have changed.
    /// - Throws: `ConfigurationError` when they cannot be used; what was read before stays.
    func reload() throws(ConfigurationError) -> Bool {
        let content = try Content(files)
        guard content != current.withLock({ $0.content }) else { return false }
        let context = try content.context(files)
        current.withLock { $0 = Current(content: content, context: context) }
        return true
    }

    /// Everything that is wrong with the files.
    static func problems(_ files: Files) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            _ = try Content(files).context(files)
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
    /// The bytes of both files.
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

        init(_ files: Files) throws(ConfigurationError) {
            certificate = try Self.read(files.certificate, GatewaySettings.certificateSetting)
            key = try Self.read(files.key, GatewaySettings.keySetting)
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

        func context(_ files: Files) throws(ConfigurationError) -> NIOSSLContext {
            let chain = try chain(files)
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) },
                privateKey: .privateKey(try Self.privateKey(key, files.key)))
            tls.minimumTLSVersion = .tlsv12
            tls.cipherSuiteValues = Self.suites
            tls.applicationProtocols = ["h2", "http/1.1"]
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
