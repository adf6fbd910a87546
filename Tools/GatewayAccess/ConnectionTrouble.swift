import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix

/// Why a request had no answer, in few words that are the same for the same cause.
package func connectionTrouble(_ error: any Error) -> String {
    switch error {
    case let error as HTTPClientError where error == .connectTimeout: "connecting timed out"
    case let error as HTTPClientError: error.shortDescription
    case let error as NIOConnectionError:
        error.connectionErrors.first.map { connectionTrouble($0.error) }
            ?? "no address found for \(error.host)"
    case let error as IOError: String(cString: strerror(error.errnoCode))
    // Without what differs from one connection to the next.
    default: String("\(error)".prefix { $0 != "(" })
    }
}
