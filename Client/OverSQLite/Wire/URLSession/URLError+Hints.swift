import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

extension URLError {
    /// Returns what is probably wrong with the address or the certificate; nil if the error does
    /// not reveal it.
    ///
    /// Foundation on Linux has codes for only a few TLS errors; the others appear in libcurl's
    /// text.
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

    /// libcurl's texts for a certificate of an unknown authority.
    private static let untrustedTexts = [
        "unable to get local issuer certificate", "self-signed certificate",
        "self signed certificate",
    ]

    private static var untrusted: String {
        let what =
            "the gateway presents a certificate of an authority that this device does not trust. "
        #if canImport(FoundationNetworking)
            return what + """
                URLSession on Linux trusts only the system's authorities. For a private one, use \
                AsyncHTTPTransport(trusting:) from the product OverSQLiteAsyncHTTP
                """
        #else
            return what + """
                Install a private authority on the device and trust it in the settings, or pass \
                URLSessionTransport(session:) a session whose delegate checks the certificate
                """
        #endif
    }
}
