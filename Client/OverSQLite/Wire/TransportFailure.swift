import Foundation

/// What a transport throws where it can say what is wrong with the way it was set up, and what to
/// do about it.
public struct TransportFailure: LocalizedError, Sendable, CustomStringConvertible {
    /// What the HTTP client threw.
    public let underlying: any Error
    /// What is likely to be wrong, for the app's developer.
    public let hint: String

    /// - Parameters:
    ///   - underlying: what the HTTP client threw.
    ///   - hint: what is likely to be wrong, and what to do about it.
    public init(_ underlying: any Error, hint: String) {
        self.underlying = underlying
        self.hint = hint
    }

    /// The hint, and what the client said.
    public var description: String { "\(hint) (\(underlying))" }

    /// The ``description``: it is for developers, as the failure is.
    public var errorDescription: String? { description }
}

/// How an address can be wrong about TLS, as far as it shows in a client's error.
package enum AddressMistake: Sendable, Hashable {
    case httpToTLS, httpsToPlain

    /// What to tell the app's developer.
    package var hint: String {
        switch self {
        case .httpToTLS:
            """
            the address begins with http:// and the connection was closed without an answer, as a gateway \
            does that speaks TLS: try https://
            """
        case .httpsToPlain:
            """
            the address begins with https:// and what listens there does not speak TLS: try http://, or \
            another port
            """
        }
    }
}
