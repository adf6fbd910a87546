import Foundation

/// Thrown by a transport that can tell what is probably wrong with its setup and how to fix it.
public struct TransportFailure: LocalizedError, Sendable, CustomStringConvertible {
    /// The HTTP client's error.
    public let underlying: any Error
    /// What is probably wrong and how to fix it, for the app's developer.
    public let hint: String

    /// Makes the error.
    ///
    /// - Parameters:
    ///   - underlying: the HTTP client's error.
    ///   - hint: what is probably wrong and how to fix it.
    public init(_ underlying: any Error, hint: String) {
        self.underlying = underlying
        self.hint = hint
    }

    /// The hint, followed by the HTTP client's error.
    public var description: String { "\(hint) (\(underlying))" }

    /// The same as ``description``: this error is for developers.
    public var errorDescription: String? { description }
}

/// A wrong scheme in the gateway's address, as far as the HTTP client's error reveals it.
package enum AddressMistake: Sendable, Hashable {
    case httpToTLS, httpsToPlain

    /// The hint for the app's developer.
    package var hint: String {
        switch self {
        case .httpToTLS:
            """
            the address begins with http://, but the server closed the connection without an \
            answer, as a gateway does that speaks TLS: try https://
            """
        case .httpsToPlain:
            """
            the address begins with https://, but the server there does not speak TLS: try http:// \
            or another port
            """
        }
    }
}
