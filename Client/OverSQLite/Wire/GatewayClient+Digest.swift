import Foundation
import WireJSON

extension GatewayClient {
    /// Which part of a digest is asked for.
    struct DigestQuery {
        var table: String?
        /// In how many parts; nil asks for whole tables.
        var count: Int?
        /// The parts whose rows are listed; none: the sums of all parts.
        var buckets: [Int] = []
    }

    /// Asks for sums of what the server's log says last of each row.
    ///
    /// - Parameter history: what the device knows of the server's history.
    func digest(_ query: DigestQuery, history: HistoryPair?) async throws -> DigestAnswer {
        var items = [URLQueryItem(name: "schema", value: schema)]
        if let table = query.table { items.append(URLQueryItem(name: "table", value: table)) }
        if let count = query.count {
            items.append(URLQueryItem(name: "buckets", value: String(count)))
        }
        if !query.buckets.isEmpty {
            let list = query.buckets.map(String.init).joined(separator: ",")
            items.append(URLQueryItem(name: "bucket", value: list))
        }
        let url = base.appending(path: "sync/digest").appending(queryItems: items)
        let response = try await send(TransportRequest(method: "GET", url: url).telling(history))
        var answer = try Self.read(response, from: url) { body throws(JSONError) in
            try DigestAnswer(body: body)
        }
        answer.history = response.history
        return answer
    }

    /// Fetches the newest changes of some rows.
    ///
    /// - Parameters:
    ///   - after: only changes beyond this sequence: where the answer before had no room for more.
    ///   - history: what the device knows of the server's history.
    ///   - compares: whether the rows are compared, and not known to differ: the server counts it.
    func rows(
        _ keys: [DeviceRowKey], of table: String, after: Int64, history: HistoryPair?,
        compares: Bool
    ) async throws -> DownloadPage {
        var body: [UInt8] = []
        body.append(
            [
                "schema": .string(schema), "table": .string(table),
                "keys": .array(keys.map { .string($0.wire) }),
            ] as JSONDocument)
        var items = [URLQueryItem(name: "after", value: String(after))]
        if compares { items.append(URLQueryItem(name: "compare", value: "true")) }
        let url = base.appending(path: "sync/rows").appending(queryItems: items)
        let response = try await send(
            TransportRequest(
                method: "POST", url: url, headers: ["Content-Type": "application/json"],
                body: body
            ).telling(history))
        var page = try Self.read(response, from: url) { body throws(JSONError) in
            try DownloadPage(body: body, after: after)
        }
        page.history = response.history
        return page
    }
}
