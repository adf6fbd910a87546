import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit

/// A device that sends each upload again until it is answered, and remembers what was acknowledged.
package struct PersistentDevice: Sendable {
    /// New rows of one upload; one edit of an older row comes with them.
    private static let newRows = 4

    /// One change that the server answered `applied`.
    package struct Acknowledged: Codable, Hashable, Sendable {
        package let user: String
        package let device: String
        /// The device's number of the change.
        package let id: Int
        /// Key of the row.
        package let row: String
        package let version: Int

        package init(user: String, device: String, id: Int, row: String, version: Int) {
            self.user = user
            self.device = device
            self.id = id
            self.row = row
            self.version = version
        }
    }

    package let user: String
    package let device: String
    private let schema: String
    /// The first digits of all its keys.
    private let prefix: String
    private let wire: PersistentWire
    private var nextID = 1
    /// Rows by the last digits of their keys, with their versions.
    private var rows: [Int: Int] = [:]

    /// - Parameters:
    ///   - number: tells the keys of devices of one run apart (below 65 536).
    ///   - run: tells the keys of runs apart.
    ///   - schema: where the table `users` of the demonstration is.
    package init(
        user: String, device: String, number: Int, run: UInt32, schema: String,
        wire: PersistentWire
    ) {
        self.user = user
        self.device = device
        self.schema = schema
        self.wire = wire
        prefix = String(format: "%08x-%04x-4000-8000-", run, number & 0xFFFF)
    }

    /// Sends one upload: new rows, and an edit of an older one.
    ///
    /// - Returns: its changes, all acknowledged; nil if nothing was answered before the end.
    /// - Throws: `FatalAnswer` for an answer that a device may not repeat its request after.
    package mutating func send() async throws -> [Acknowledged]? {
        var changes: [(id: Int, row: Int, base: Int)] = (0..<Self.newRows).map { offset in
            (nextID + offset, nextID + offset, 0)
        }
        if let old = rows.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
            changes.append((nextID + Self.newRows, old.key, old.value))
        }
        nextID += changes.count
        let body = changes.map { change in
            #"{"source_change_id":\#(change.id),"schema":"\#(schema)","table":"users","op":"UPDATE","#
                + #""pk":"\#(key(change.row))","server_version":\#(change.base),"#
                + #""payload":{"name":"\#(change.id)"}}"#
        }.joined(separator: ",")
        guard let answer = try await wire.upload(#"{"changes":[\#(body)]}"#) else { return nil }
        let statuses = (try? JSONDecoder().decode(Statuses.self, from: answer))?.statuses ?? []
        guard statuses.map(\.source_change_id) == changes.map(\.id) else {
            throw FatalAnswer("unexpected answer to an upload of \(device): \(text(answer))")
        }
        return try zip(statuses, changes).map { status, change in
            guard status.status == "applied", status.new_server_version == change.base + 1 else {
                throw FatalAnswer(
                    "change \(change.id) of \(device) was not applied: \(text(answer))")
            }
            rows[change.row] = change.base + 1
            return Acknowledged(
                user: user, device: device, id: change.id, row: key(change.row),
                version: change.base + 1)
        }
    }

    private func key(_ row: Int) -> String { prefix + String(format: "%012x", row) }

    private func text(_ answer: Data) -> String {
        String(decoding: answer.prefix(500), as: UTF8.self)
    }

    private struct Statuses: Decodable {
        struct Status: Decodable {
            let source_change_id: Int
            let status: String
            let new_server_version: Int?
        }
        let statuses: [Status]
    }
}

/// An answer after which a device may not just send its request again.
package struct FatalAnswer: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
