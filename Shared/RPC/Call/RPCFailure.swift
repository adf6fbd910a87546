import Protos

/// How a call failed, in the few classes that a caller can act on.
package enum RPCStatus: String, Hashable, Sendable, CaseIterable {
    case invalidArgument
    case unauthenticated
    case permissionDenied
    case notFound
    case conflict
    case gone
    case tooLarge
    case resourceExhausted
    case unavailable
    case deadlineExceeded
    case cancelled
    case `internal`
}

/// A failed call. A handler throws it to say precisely what its caller shall see; it crosses the
/// socket as it is, so nothing in it may quote SQL, paths or another user's data.
package struct RPCFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var status: RPCStatus
    /// The code that the wire's error JSON shows, such as `upload_failed`.
    package var code: String
    /// Public: the caller may read it.
    package var message: String
    /// When to try again. Rounded down to milliseconds.
    package var retryAfter: Duration?

    package init(
        _ status: RPCStatus, code: String, message: String, retryAfter: Duration? = nil
    ) {
        self.status = status
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    package var description: String { "\(status.rawValue) (\(code)): \(message)" }
}

extension RPCFailure {
    /// No replica can take the call now; one may soon.
    package static func unavailable(
        _ message: String = "The service is not available", retryAfter: Duration = .seconds(1)
    ) -> RPCFailure {
        RPCFailure(.unavailable, code: "unavailable", message: message, retryAfter: retryAfter)
    }

    /// The service does not let this process call the method. The process's own caller sees an
    /// unavailable service, because only an operator can correct that.
    static func callNotAllowed(_ method: String) -> RPCFailure {
        .unavailable("This process may not call \(method) here")
    }

    /// The process that was asked is going down and has not begun: another one, or its successor, may be asked at once.
    package static let draining = RPCFailure(
        .unavailable, code: "draining", message: "The server is restarting; send the request again",
        retryAfter: .seconds(1))

    /// Somebody threw what was not meant for the caller. The cause is in the log.
    package static let `internal` = RPCFailure(
        .internal, code: "internal", message: "Internal error")

    /// The deadline passed before there was an answer.
    package static let deadlineExceeded = RPCFailure(
        .deadlineExceeded, code: "deadline_exceeded", message: "The request took too long",
        retryAfter: .seconds(1))

    /// The caller no longer waits.
    package static let cancelled = RPCFailure(
        .cancelled, code: "cancelled", message: "The request was cancelled")
}

extension RPCStatus {
    /// The number that stands for it on a socket.
    var wire: WireStatusCode {
        switch self {
        case .invalidArgument: .invalidArgument
        case .unauthenticated: .unauthenticated
        case .permissionDenied: .permissionDenied
        case .notFound: .notFound
        case .conflict: .conflict
        case .gone: .gone
        case .tooLarge: .tooLarge
        case .resourceExhausted: .resourceExhausted
        case .unavailable: .unavailable
        case .deadlineExceeded: .deadlineExceeded
        case .cancelled: .cancelled
        case .internal: .internal
        }
    }

    /// Codes of a newer version count as `internal`: failed, and no reason that we could act on.
    init(wire: WireStatusCode) {
        switch wire {
        case .invalidArgument: self = .invalidArgument
        case .unauthenticated: self = .unauthenticated
        case .permissionDenied: self = .permissionDenied
        case .notFound: self = .notFound
        case .conflict: self = .conflict
        case .gone: self = .gone
        case .tooLarge: self = .tooLarge
        case .resourceExhausted: self = .resourceExhausted
        case .unavailable: self = .unavailable
        case .deadlineExceeded: self = .deadlineExceeded
        case .cancelled: self = .cancelled
        case .ok, .internal, .UNRECOGNIZED: self = .internal
        }
    }
}

extension RPCFailure {
    var wire: WireFailure {
        var wire = WireFailure()
        wire.status = status.wire
        wire.code = code
        wire.message = message
        if let retryAfter {
            wire.retryAfterMilliseconds = UInt32(clamping: retryAfter.milliseconds)
        }
        return wire
    }

    init(wire: WireFailure) {
        self.init(
            RPCStatus(wire: wire.status), code: wire.code, message: wire.message,
            retryAfter: wire.retryAfterMilliseconds == 0
                ? nil : .milliseconds(Int64(wire.retryAfterMilliseconds)))
    }
}

extension Duration {
    /// Whole milliseconds, rounded up: a duration that is not over yet never counts as 0.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let part = attoseconds / 1_000_000_000_000_000
        let rest = attoseconds % 1_000_000_000_000_000
        return whole &+ part &+ (rest > 0 ? 1 : 0)
    }
}
