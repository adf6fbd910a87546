import Foundation
import OperatorKit
import OverSQLite

/// A gateway whose feed is there before it is asked: what is measured with it is the device alone.
final class CannedFeed: HTTPTransport {
    /// Pages by the cursor they are asked for with.
    private let pages: [Int: [UInt8]]

    /// - Parameter posts: the whole feed, cut into pages.
    init(_ posts: [DevicePost], perPage: Int) {
        var pages: [Int: [UInt8]] = [:]
        for start in stride(from: 0, to: posts.count, by: perPage) {
            let end = min(start + perPage, posts.count)
            let changes = (start..<end).map { posts[$0].change(sequence: $0 + 1) }
            pages[start] = Array(
                (#"{"changes":["# + changes.joined(separator: ",") + #"],"has_more":"#
                    + "\(end < posts.count)"
                    + #","next_after":\#(end),"window_until":\#(posts.count)}"#).utf8)
        }
        self.pages = pages
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        guard request.url.path.hasSuffix("/download") else { return TransportResponse(status: 404) }
        let query = URLComponents(url: request.url, resolvingAgainstBaseURL: false)?.queryItems
        let after = query?.first { $0.name == "after" }?.value.flatMap { Int($0) } ?? 0
        guard let page = pages[after] else { throw StackError("no page after \(after)") }
        return TransportResponse(status: 200, body: page)
    }
}
