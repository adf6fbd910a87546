import Foundation
import Model
import NIOCore
import Protos
import RPC
import SwiftProtobuf
import Testing
@testable import UploadService

@Suite("Uploads as protobuf")
struct ProtobufBodyTests {
    private static func upload(
        _ database: SyncedDatabase, _ body: ByteBuffer
    ) async throws -> BodyUploadResponse {
        let (batch, result) = try await database.executor.upload(
            body, from: CallerIdentity(user: "ann", device: "phone"),
            UploadOptions(format: .protobuf), deadline: .now + .seconds(30))
        let answer = UploadAnswer(result: result, changeIDs: batch.changeIDs).encodedAsProtobuf()
        return try BodyUploadResponse(serializedBytes: Array(answer.readableBytesView))
    }

    private static func change(
        _ number: Int64, _ op: String, _ table: String, _ key: String, base: Int64 = 0,
        _ payload: String = ""
    ) -> BodyUploadChange {
        .with {
            $0.sourceChangeID = number
            $0.schema = "s"
            $0.table = table
            $0.op = op
            $0.pk = key
            $0.serverVersion = base
            $0.payload = Data(payload.utf8)
        }
    }

    private static func body(_ changes: [BodyUploadChange]) throws -> ByteBuffer {
        let request = BodyUploadRequest.with { $0.changes = changes }
        return ByteBuffer(bytes: try request.serializedBytes() as [UInt8])
    }

    @Test("Changes are counted before any is made of them, whatever stands behind or around them")
    func counted() async throws {
        try await SyncedDatabase.with { database in
            let empty: [UInt8] = [0x0A, 0x00]
            let many = Array(repeating: empty, count: WireLimits.answeredChanges + 1).flatMap(
                \.self)
            // A field that no version has, of each wire type, a group among them; and an end that is none.
            let unknown: [UInt8] = [
                0x10, 0xFF, 0x01, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 2, 0x0A, 0x00, 0x2B, 0x2C,
                0x35, 1, 2, 3, 4,
            ]
            for body in [many, unknown + many, many + [0x0A, 0x7F]] {
                let failure = await #expect(throws: RPCFailure.self) {
                    try await Self.upload(database, ByteBuffer(bytes: body))
                }
                #expect(failure?.code == "payload_too_large")
            }
            let cut = await #expect(throws: RPCFailure.self) {
                try await Self.upload(database, ByteBuffer(bytes: empty + [0x0A, 0x7F]))
            }
            #expect(cut?.code == "invalid_request")
            let good = try Self.body([Self.change(1, "INSERT", "notes", id("1"), "{}")])
            let answer = try await Self.upload(
                database, ByteBuffer(bytes: unknown + Array(good.readableBytesView)))
            #expect(answer.statuses.map(\.status) == ["applied"])
        }
    }

    @Test("U+0000 in a key is refused, as PostgreSQL has no such text")
    func zero() async throws {
        try await SyncedDatabase.with { database in
            let answer = try await Self.upload(
                database, Self.body([Self.change(1, "INSERT", "prefs", "a\0b", "{}")]))
            #expect(answer.statuses.map(\.status) == ["invalid"])
            #expect(answer.statuses.map(\.invalid.reason) == ["bad_payload"])
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.materialize_failures")
                    == "0")
        }
    }

    @Test("Every outcome, as JSON has it")
    func outcomes() async throws {
        try await SyncedDatabase.with { database in
            let payload = #" {"title":"ä", "big":0.10} "#
            let first = try await Self.upload(
                database,
                Self.body([
                    Self.change(1, "INSERT", "notes", id("1"), payload),
                    Self.change(2, "INSERT", "items", id("2"), #"{"note_id":"\#(id("9"))"}"#),
                    Self.change(3, "INSERT", "notes", id("3"), "not json"),
                    Self.change(4, "INSERT", "notes", id("4"), #"{"a":1} {"b":2}"#),
                    Self.change(5, "INSERT", "notes", id("5"), #"{"a":1,"a":2}"#),
                    Self.change(6, "INSERT", "nothing", id("6"), "{}"),
                    Self.change(7, "INSERT", "notes", id("7")),
                    Self.change(8, "INSERT", "items", id("8"), #"{"n":"x"}"#),
                    Self.change(9, "INSERT", "items", id("9"), #"{"note_id":"\#(id("1"))"}"#),
                ]))
            #expect(first.statuses.map(\.sourceChangeID) == [1, 2, 3, 4, 5, 6, 7, 8, 9])
            #expect(
                first.statuses.map { $0.hasInvalid ? $0.invalid.reason : $0.status } == [
                    "applied", "fk_missing", "bad_payload", "bad_payload", "bad_payload",
                    "unregistered_table", "bad_payload", "materialize_error", "applied",
                ])
            #expect(first.statuses[1].invalid.missing == ["s.notes:\(id("9"))"])
            #expect(first.statuses[0].newServerVersion == 1)
            #expect(!first.accepted)
            #expect(first.highestServerSeq == 2)
            // Numbers keep their digits.
            #expect(try await database.value(#"SELECT "Big"::text FROM s.notes"#) == "0.10")

            let second = try await Self.upload(
                database,
                Self.body([
                    Self.change(1, "INSERT", "notes", id("1"), payload),
                    Self.change(10, "UPDATE", "notes", id("1"), base: 7, "{}"),
                    Self.change(11, "DELETE", "notes", id("1"), base: 1),
                ]))
            #expect(second.statuses.map(\.status) == ["applied", "conflict", "applied"])
            let row = second.statuses[1].serverRow
            #expect(row.id == id("1") && row.serverVersion == 1 && row.sourceID == "phone")
            #expect(row.sourceChangeID == 1 && !row.deleted)
            #expect(row.payload == Data(payload.trimmingCharacters(in: .whitespaces).utf8))
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A body that is no such message is refused whole, with the reason")
    func undecodable() async throws {
        try await SyncedDatabase.with { database in
            let error = await #expect(throws: RPCFailure.self) {
                try await Self.upload(database, ByteBuffer(string: #"{"changes":[]}"#))
            }
            #expect(error?.status == .invalidArgument)
            #expect(error?.message.contains("oversync.wire.v1.UploadRequest") == true)
            let empty = try await Self.upload(database, ByteBuffer())
            #expect(empty.accepted && empty.statuses.isEmpty)
        }
    }
}
