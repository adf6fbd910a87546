import AsyncHTTPClient
import Foundation
import NIOSSL
import OverSQLite

extension AsyncHTTPTransport {
    /// Returns what is probably wrong with the address or the certificate; nil if the error does
    /// not reveal it.
    ///
    /// BoringSSL's error codes appear only in the texts.
    static func hint(about error: any Error, at url: URL) -> String? {
        if let error = error as? HTTPClientError {
            let isPlain = url.scheme?.lowercased() == "http"
            return isPlain && error == .remoteConnectionClosed ? AddressMistake.httpToTLS.hint : nil
        }
        guard let error = error as? NIOSSLError else { return nil }
        let text = "\(error)"
        if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
            return AddressMistake.httpsToPlain.hint
        }
        return text.contains("CERTIFICATE_VERIFY_FAILED") ? untrusted : nil
    }

    private static let untrusted = """
        the gateway presents a certificate that has expired, or one of an authority that this \
        transport does not trust: pass the PEM file of the authority that signed it to \
        AsyncHTTPTransport(trusting:)
        """
}
