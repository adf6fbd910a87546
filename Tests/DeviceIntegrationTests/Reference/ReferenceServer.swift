import Foundation
import OverSQLite
import Synchronization
import WireJSON

/// Answers as a reference server of the sidecar era does (state B, January 2026, its path for single changes): no
/// watch, no bootstrap, no epoch, no waiting; repeats are acknowledged without their version; a conflict does not say
/// who wrote; cursors stay before own rows; every device's changes draw from one sequence with gaps; Go's words,
/// escapes and time zones. Its tables are `business.users` and `business.posts`.
final class ReferenceServer: HTTPTransport {
    static let parentsFirst = ["users", "posts"]

    /// A request as it came.
    struct Request: Sendable {
        let path: String
        let query: [String: String]
    }

    private struct State {
        var tables = ReferenceTables()
        var requests: [Request] = []
        /// Answers still to be lost: the connection is cut after the change is committed.
        var answersToLose = 0
    }

    private struct AnswerLost: Error {}

    private let state = Mutex(State())

    var log: [ReferenceTables.Entry] { state.withLock { $0.tables.log } }
    var requests: [Request] { state.withLock { $0.requests } }

    /// Live rows of a table: payload by key.
    func rows(_ table: String, of user: String) -> [String: String] {
        let rows = state.withLock { $0.tables.rows(of: user) }
        return Dictionary(
            uniqueKeysWithValues: rows.compactMap { place, row in
                place.table == table ? row.payload.map { (place.pk, $0) } : nil
            })
    }

    func loseNextUploadAnswer() { state.withLock { $0.answersToLose += 1 } }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        let parts = URLComponents(url: request.url, resolvingAgainstBaseURL: true)
        let query = Dictionary((parts?.queryItems ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        let path = parts?.path ?? ""
        state.withLock { $0.requests.append(Request(path: path, query: query)) }
        let routes = [
            "/sync/upload": "POST", "/sync/download": "GET", "/sync/schema-version": "GET",
        ]
        guard let method = routes[path] else { return Self.plain(404, "404 page not found") }
        guard method == request.method else {
            var response = Self.plain(405, "Method Not Allowed")
            response.headers["allow"] = method
            return response
        }
        let header = request.headers.first { $0.key.lowercased() == "authorization" }?.value
        let caller: Caller
        switch Self.caller(header) {
        case .failure(let refusal): return Self.plain(401, refusal.text)
        case .success(let found): caller = found
        }
        switch path {
        case "/sync/upload": return try upload(request.body ?? [], caller)
        case "/sync/download": return download(query, caller)
        default: return Self.json(200, #"{"schema_version":1}"#)
        }
    }

    // MARK: Who asks

    private struct Caller: Decodable {
        let sub: String
        let did: String
    }

    private struct Refused: Error { let text: String }

    private static func caller(_ header: String?) -> Result<Caller, Refused> {
        guard let header, !header.isEmpty else {
            return .failure(Refused(text: "Authorization header required"))
        }
        let parts = header.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "Bearer" else {
            return .failure(Refused(text: "Invalid authorization header format"))
        }
        let claims = parts[1].split(separator: ".", omittingEmptySubsequences: false)
        guard claims.count == 3 else { return .failure(Refused(text: "Invalid token")) }
        let padding = String(repeating: "=", count: (4 - claims[1].count % 4) % 4)
        guard let data = Data(base64Encoded: claims[1] + padding),
            let caller = try? JSONDecoder().decode(Caller.self, from: data)
        else { return .failure(Refused(text: "Invalid token")) }
        return .success(caller)
    }

    // MARK: Uploads

    private func upload(_ body: [UInt8], _ caller: Caller) throws -> TransportResponse {
        guard let changes = ReferenceJSON.changes(body) else {
            return Self.error(400, "invalid_request", "Failed to parse upload request")
        }
        let answer = state.withLock { state -> TransportResponse? in
            let statuses = state.tables.upload(changes, user: caller.sub, source: caller.did)
            if state.answersToLose > 0 {
                state.answersToLose -= 1
                return nil
            }
            return Self.json(
                200,
                ReferenceJSON.answer(
                    changes, statuses, highest: state.tables.highest(of: caller.sub)))
        }
        guard let answer else { throw AnswerLost() }
        return answer
    }

    /// What is wrong with a change by itself, the first fault first.
    static func fault(in change: ReferenceTables.Change) -> ReferenceTables.Status? {
        func bad(_ text: String) -> ReferenceTables.Status {
            .invalid(reason: "bad_payload", message: text, details: #""error":"\#(text)""#)
        }
        guard change.schema == "business", parentsFirst.contains(change.table) else {
            return .invalid(
                reason: "unregistered_table",
                message: "table not registered \(change.schema).\(change.table)",
                details: #""schema":"\#(change.schema)","table":"\#(change.table)""#)
        }
        guard ["INSERT", "UPDATE", "DELETE"].contains(change.operation) else {
            return bad("invalid operation: \(change.operation)")
        }
        guard UUID(uuidString: change.pk) != nil else {
            return bad("bad_payload: invalid UUID format: \(change.pk)")
        }
        switch (change.operation, change.payload) {
        case ("DELETE", nil): return nil
        case ("DELETE", _): return bad("DELETE must not include payload")
        case (_, nil): return bad("payload required for \(change.operation) operation")
        case (_, let payload?): return payload.hasPrefix("{") ? nil : bad("invalid JSON payload")
        }
    }

    // MARK: Pages

    private func download(_ query: [String: String], _ caller: Caller) -> TransportResponse {
        func number(_ name: String, _ usual: Int64) -> Int64? {
            query[name].map { $0.isEmpty ? usual : Int64($0) } ?? usual
        }
        guard let after = number("after", 0) else {
            return Self.error(400, "invalid_request", "after must be an integer")
        }
        guard after >= 0 else { return Self.error(400, "invalid_request", "after must be >= 0") }
        guard let limit = number("limit", 100) else {
            return Self.error(400, "invalid_request", "limit must be an integer")
        }
        guard (1...1000).contains(limit) else {
            return Self.error(400, "invalid_request", "limit must be between 1 and 1000")
        }
        let tables = state.withLock { $0.tables }
        let asked = number("until", 0) ?? 0
        let window = asked > 0 ? asked : tables.highest(of: caller.sub)
        let found = tables.log.filter { entry in
            entry.user == caller.sub && entry.id > after && entry.id <= window
                && (query["schema"] == nil || query["schema"] == entry.place.schema)
                && (query["include_self"] == "true" || entry.source != caller.did)
        }
        let page = found.prefix(Int(limit))
        // Never over own rows: they are looked at again with every poll.
        return Self.json(
            200,
            ReferenceJSON.page(
                page, hasMore: found.count > page.count, next: page.last?.id ?? after,
                window: window
            ))
    }

    // MARK: Forms of answers

    private static func plain(_ status: Int, _ text: String) -> TransportResponse {
        TransportResponse(
            status: status,
            headers: [
                "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff",
            ], body: Array((text + "\n").utf8))
    }

    private static func json(_ status: Int, _ text: String) -> TransportResponse {
        TransportResponse(
            status: status, headers: ["content-type": "application/json"],
            body: Array((text + "\n").utf8))
    }

    private static func error(_ status: Int, _ code: String, _ message: String) -> TransportResponse
    {
        json(status, #"{"error":"\#(code)","message":"\#(message)"}"#)
    }
}
