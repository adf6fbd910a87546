import Foundation
import OverSQLite
import Synchronization

/// What one behaviour says to a gateway, and every answer that was not as expected.
///
/// Users and keys are this conversation's own, so that any number of them can share a server.
final class Conversation: Sendable {
    let gateway: GatewayUnderTest
    private let mark = UUID().uuidString.lowercased()
    private let found = Mutex<[String]>([])

    init(_ gateway: GatewayUnderTest) { self.gateway = gateway }

    /// Where answers differ from what was expected.
    var differences: [String] { found.withLock { $0 } }

    func note(_ difference: String) { found.withLock { $0.append(difference) } }

    func user(_ name: String) -> String { "\(name)-\(mark)" }

    /// The source of its numbers, so that no other conversation has the same.
    var base: Int { Int(mark.prefix(8), radix: 16) ?? 0 }

    /// A row key: the same number, the same UUID.
    func key(_ number: Int) -> String {
        let digits = String(number)
        return mark.dropLast(12) + String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// A device of a user.
    func device(_ name: String, of user: String = "ann") async throws -> WirePeer {
        WirePeer(
            conversation: self, name: name,
            authorization: "Bearer " + (try await gateway.token(self.user(user), name)))
    }
}

/// A device that speaks the wire protocol by hand.
struct WirePeer: Sendable {
    let conversation: Conversation
    let name: String
    var authorization: String?
    /// The history that its requests name.
    var epoch: String?
    /// The change by which they prove that they know it.
    var history: String?
    /// The tables that they take for readable.
    var tables: String?
    /// The kinds of keys that they ask for.
    var keyKinds: String?

    /// Sends changes and compares the answer.
    ///
    /// - Parameter answer: JSON, or the statuses alone, when all that is left is `accepted` and the last sequence.
    func upload(
        _ changes: String..., query: String = "", gives answer: Expected,
        line: UInt = #line
    ) async throws {
        try await send(
            "POST", "sync/upload" + query,
            body: Array(#"{"changes":[\#(changes.joined(separator: ","))]}"#.utf8), gives: answer,
            line: line)
    }

    func get(_ path: String, gives answer: Expected, line: UInt = #line) async throws {
        try await send("GET", path, gives: answer, line: line)
    }

    func send(
        _ method: String, _ path: String, body: [UInt8]? = nil, gives answer: Expected,
        line: UInt = #line
    ) async throws {
        let response = try await response(method, path, body: body)
        for difference in answer.differences(from: response) {
            conversation.note("line \(line), \(method) \(path): \(difference)")
        }
    }

    func response(_ method: String, _ path: String, body: [UInt8]? = nil) async throws
        -> TransportResponse
    {
        guard let url = URL(string: path, relativeTo: conversation.gateway.base) else {
            throw URLError(.badURL)
        }
        var request = TransportRequest(method: method, url: url.absoluteURL, body: body)
        if let authorization { request.headers["Authorization"] = authorization }
        if let epoch { request.headers["Oversync-Epoch"] = epoch }
        if let history { request.headers["Oversync-History"] = history }
        if let tables { request.headers["Oversync-Tables"] = tables }
        if let keyKinds { request.headers["Oversync-Key-Kinds"] = keyKinds }
        return try await conversation.gateway.transport.send(request)
    }
}
