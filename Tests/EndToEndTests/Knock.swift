import AsyncHTTPClient
import Digests
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit

/// Whose rows a stranger is after. The two aims differ in nothing but names of the same length.
struct Aim: Sendable {
    /// Stands in all that the victim ever wrote.
    static let mark = "secret-of-victim"
    /// Has rows.
    static let victim = Aim(letter: "a", failure: "?id=1")
    /// Was never there.
    static let nobody = Aim(letter: "b", failure: "?id=9")

    let letter: String
    /// The query that names a refused change of the victim's, or one that is not there.
    let failure: String
    /// What its rows say.
    var word = "mine"

    var user: String { "victim-\(letter)" }
    var stranger: String { "stranger-\(letter)" }
    var userKey: String { key(1) }
    var postKey: String { key(2) }
    /// A key that nobody has.
    var newKey: String { key(3) }
    /// A back end's request, without a client that is known.
    var clientToken: String {
        "grant_type=client_credentials&client_id=x&client_secret=x&device=phone&user=\(user)"
    }
    var signIn: String { #"{"user":"\#(user)","device":"phone"}"# }

    private func key(_ n: Int) -> String { "550e8400-e29b-41d4-a716-4466554400\(letter)\(n)" }

    func user(_ id: Int, _ key: String, base: Int, more: String = "") -> String {
        upsert(id, "users", key, base, #"{"name":"\#(word)"\#(more)}"#)
    }

    func post(_ id: Int, _ key: String, author: String, title: String? = nil) -> String {
        let title = title ?? "\"\(word)\""
        return upsert(id, "posts", key, 0, #"{"author_id":"\#(author)","title":\#(title)}"#)
    }

    func currency(_ id: Int) -> String {
        upsert(id, "currencies", "XX\(letter)", 0, #"{"name":"\#(word)","digits":"2"}"#)
    }

    /// A request for a row.
    func row(_ table: String, _ key: String) -> String {
        #"{"schema":"business","table":"\#(table)","keys":["\#(key)"]}"#
    }

    /// A request for the rows that could stand next to a user's.
    var besideUser: String {
        let bucket = RowBuckets.bucket(of: userKey, count: 256)
        return "?schema=business&table=users&buckets=256&bucket=\(bucket)"
    }

    func delete(_ id: Int, _ table: String, _ key: String, base: Int) -> String {
        #"{"source_change_id":\#(id),"schema":"business","table":"\#(table)","op":"DELETE","pk":"\#(key)","server_version":\#(base)}"#
    }

    private func upsert(
        _ id: Int, _ table: String, _ key: String, _ base: Int, _ payload: String
    ) -> String {
        #"{"source_change_id":\#(id),"schema":"business","table":"\#(table)","op":"\#(base == 0 ? "INSERT" : "UPDATE")","pk":"\#(key)","server_version":\#(base),"payload":\#(payload)}"#
    }

    /// An answer in which this aim's names are no more.
    func anonymous(_ answer: String) -> String {
        var text = answer
        for name in [user, stranger, userKey, postKey, newKey, "XX\(letter)"] {
            text = text.replacing(name, with: "?")
        }
        return text.replacing(/"token":"[^"]*"/, with: "\"token\"")
            .replacing(/"ts":"[^"]*"/, with: "\"ts\"")
            // Of the strangers' own rows, whose keys differ.
            .replacing(/"sum":[1-9][0-9]*/, with: "\"sum\"")
            .replacing(/(oversync-history: [0-9]+)-[0-9a-f]{16}/) { $0.1 }
    }
}

/// One attempt at one route.
struct Knock: Sendable {
    enum Reading: Sendable {
        case all
        /// Of a stream that has no end of its own.
        case firstEvent
    }

    private let query: @Sendable (Aim) -> String
    private let body: @Sendable (Aim) -> String
    private let reading: Reading

    init(query: String = "", body: String = "", _ reading: Reading = .all) {
        self.query = { _ in query }
        self.body = { _ in body }
        self.reading = reading
    }

    /// The same with what only the aim knows: as the body if it is JSON, else as the query.
    init(_ text: @Sendable @escaping (Aim) -> String) {
        query = { text($0).hasPrefix("?") ? text($0) : "" }
        body = { text($0).hasPrefix("?") ? "" : text($0) }
        reading = .all
    }

    init(query: String = "", changes: @Sendable @escaping (Aim) -> [String]) {
        self.query = { _ in query }
        body = { Self.changes(changes($0)) }
        reading = .all
    }

    static func changes(_ changes: [String]) -> String {
        #"{"changes":[\#(changes.joined(separator: ","))]}"#
    }

    /// Headers that times decide: the clock's, and the body's length, as times end with more or fewer digits.
    private static let headersOfTime: Set<String> = ["date", "content-length"]

    /// Status, headers and body, without what differs between any two requests.
    func answer(
        _ route: String, _ aim: Aim, _ stranger: WireDevice, _ victim: WireDevice
    ) async throws -> String {
        let parts = route.split(separator: " ").map(String.init)
        var request = HTTPClientRequest(url: stranger.stack.gateway + parts[1] + query(aim))
        request.method = HTTPMethod(rawValue: parts[0])
        request.headers = [
            "authorization": "Bearer \(stranger.token)", "x-request-id": "the-same",
        ]
        let text = body(aim)
        if request.method == .POST { request.body = .bytes(ByteBuffer(string: text)) }
        let response = try await stranger.client.execute(request, timeout: .seconds(30))
        let headers = response.headers.filter { !Self.headersOfTime.contains($0.name.lowercased()) }
            .map { "\($0.name.lowercased()): \($0.value)" }.sorted()
        let read = try await Self.read(response.body, reading)
        return "\(response.status.code)\n\(headers.joined(separator: "\n"))\n\n\(read)"
    }

    /// Longest body that is read, in bytes.
    private static let maximumBytes = 1 << 20

    private static func read(_ body: HTTPClientResponse.Body, _ reading: Reading) async throws
        -> String
    {
        guard case .firstEvent = reading else {
            return String(buffer: try await body.collect(upTo: maximumBytes))
        }
        var text = ""
        for try await bytes in body {
            text += String(buffer: bytes)
            if text.contains("data:"), text.hasSuffix("\n\n") { break }
        }
        return text
    }
}

extension Array {
    /// One after the other.
    func asyncMap<R>(_ transform: (Element) async throws -> R) async rethrows -> [R] {
        var results: [R] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}
