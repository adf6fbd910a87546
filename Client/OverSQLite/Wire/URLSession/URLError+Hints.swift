import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

extension URLError {
    /// What is likely to be wrong with the address or the certificate; nil if the error does not
    /// tell.
    ///
    /// Foundation on Linux has codes for few failures of TLS; the rest is in libcurl's text.
    func hint(for url: URL) -> String? {
        let text = localizedDescription
        let isPlain = url.scheme?.lowercased() == "http"
        let closed: [Code] = [.badServerResponse, .networkConnectionLost]
        if isPlain, closed.contains(code) { return AddressMistake.httpToTLS.hint }
        if isPlain { return nil }
        let untrusted: [Code] = [.serverCertificateUntrusted, .serverCertificateHasUnknownRoot]
        if untrusted.contains(code) || Self.untrustedTexts.contains(where: text.contains) {
            return Self.untrusted
        }
        let isNoTLS = text.contains("wrong version number") || code == .secureConnectionFailed
        return isNoTLS ? AddressMistake.httpsToPlain.hint : nil
    }

    /// What libcurl says of a certificate whose authority is unknown.
    private static let untrustedTexts = [
        "unable to get local issuer certificate", "self-signed certificate",
        "self signed certificate",
    ]

    private static var untrusted: String {
        let what = "the gateway's certificate is of an authority that this device does not trust. "
        #if canImport(FoundationNetworking)
            return what + """
                URLSession on Linux takes the system's authorities alone: for a private one use \
                AsyncHTTPTransport(trusting:), of the product OverSQLiteAsyncHTTP
                """
        #else
            return what + """
                Install a private one on the device and trust it in its settings, or give \
                URLSessionTransport(session:) a session whose delegate checks it
                """
        #endif
    }
}
