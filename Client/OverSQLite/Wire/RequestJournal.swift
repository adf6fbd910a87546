import Foundation
import Synchronization

/// The last requests of an engine, for its report. They are in memory alone.
final class RequestJournal: Sendable {
    /// Requests that are kept; older ones are dropped.
    static let capacity = 50

    /// One attempt of a request. It holds no token, query or body.
    struct Entry: Hashable, Sendable {
        let began: Date
        let method: String
        let path: String
        /// Nil if no response came.
        let status: Int?
        let milliseconds: Int
        /// Bytes of the bodies, as they were sent and received.
        let sentBytes: Int
        let receivedBytes: Int
        /// The name under which the server's logs have it; nil if it told none.
        let requestID: String?
        /// Why no response came.
        let error: String?

        /// One line.
        var text: String {
            let end = status.map(String.init) ?? "no response"
            let words = [
                began.formatted(.iso8601), method, path, end, "\(milliseconds) ms",
                "sent \(sentBytes) B", "received \(receivedBytes) B",
                requestID.map { "request \($0)" }, error,
            ]
            return words.compactMap(\.self).joined(separator: "  ")
        }
    }

    /// A request that is being made.
    struct Attempt {
        private let request: TransportRequest
        private let began: Date
        private let start = ContinuousClock.now

        init(_ request: TransportRequest, at began: Date) {
            self.request = request
            self.began = began
        }

        /// Apple's description of an error quotes the whole address.
        private static func words(_ error: any Error) -> String {
            let known = error as NSError
            return known.domain == NSURLErrorDomain ? "\(known.domain) \(known.code)" : "\(error)"
        }

        /// - Parameters:
        ///   - response: nil if none came.
        ///   - error: why.
        func entry(_ response: TransportResponse? = nil, error: (any Error)? = nil) -> Entry {
            let elapsed = (ContinuousClock.now - start) / .milliseconds(1)
            return Entry(
                began: began, method: request.method, path: request.url.path,
                status: response?.status, milliseconds: Int(elapsed.rounded()),
                sentBytes: request.body?.count ?? 0, receivedBytes: response?.body.count ?? 0,
                requestID: response?.headers["x-request-id"], error: error.map(Self.words))
        }
    }

    private let state = Mutex<[Entry]>([])
    private let follow: @Sendable (Entry) -> Void

    /// - Parameter follow: called with each entry.
    init(_ follow: @escaping @Sendable (Entry) -> Void = { _ in }) { self.follow = follow }

    /// Newest last.
    var entries: [Entry] { state.withLock { $0 } }

    func append(_ entry: Entry) {
        follow(entry)
        state.withLock { entries in
            entries.append(entry)
            if entries.count > Self.capacity { entries.removeFirst() }
        }
    }
}
