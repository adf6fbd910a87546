import Postgres
import RPC

/// The error that a caller gets when PostgreSQL fails its request: one mapping for all services, in
/// the words of each. The log has the cause.
package struct DatabaseFailures: Sendable {
    /// Words for a request that has a chance later.
    package struct Later: Sendable {
        let message: String
        let pause: Duration

        /// - Parameter pause: how long the caller is to wait.
        package init(_ message: String, after pause: Duration = .seconds(1)) {
            self.message = message
            self.pause = pause
        }
    }

    /// The wire's code for a fault of the service's own, such as `upload_failed`.
    private let faultCode: String
    private let faultMessage: String
    private let later: Later
    private let whenFull: Later
    private let whenPrivilegeIsMissing: Later

    /// - Parameters:
    ///   - whenFull: nil uses `later`, for a pool without a free connection.
    ///   - whenPrivilegeIsMissing: nil uses `later`, for a role that lacks a privilege.
    package init(
        faultCode: String, faultMessage: String, later: Later, whenFull: Later? = nil,
        whenPrivilegeIsMissing: Later? = nil
    ) {
        self.faultCode = faultCode
        self.faultMessage = faultMessage
        self.later = later
        self.whenFull = whenFull ?? later
        self.whenPrivilegeIsMissing = whenPrivilegeIsMissing ?? later
    }

    /// The failure of the call that met an error.
    package func failure(of error: PostgresError) -> RPCFailure {
        switch error.kind {
        case .cancelled: .cancelled
        case .deadlineExceeded: .deadlineExceeded
        case .misuse, .decoding:
            RPCFailure(.internal, code: faultCode, message: faultMessage)
        case .poolExhausted: unavailable(whenFull)
        case .server(let error) where error.sqlState == .insufficientPrivilege:
            unavailable(whenPrivilegeIsMissing)
        case .server, .connectFailed, .connectionLost, .poolClosed: unavailable(later)
        }
    }

    private func unavailable(_ later: Later) -> RPCFailure {
        .unavailable(later.message, retryAfter: later.pause)
    }
}
