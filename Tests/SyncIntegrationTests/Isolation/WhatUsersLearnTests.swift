import Foundation
import NIOCore
import Protos
import RPC
import Sidecar
import Testing

@testable import UploadService

/// The limits of "nor learns that they exist" (P6), as `Docs/security.md` states them.
@Suite("What a user can learn beyond its rows")
struct WhatUsersLearnTests {
    private static let tables = """
        CREATE TABLE s.closed (id uuid PRIMARY KEY, owner text);
        CREATE TABLE s.names (id uuid PRIMARY KEY, owner text, name text UNIQUE, nick text,
            UNIQUE (owner, nick));
        CREATE TABLE s.own_keys (owner text, id uuid, PRIMARY KEY (owner, id));
        CREATE TABLE s.countries (code text PRIMARY KEY);
        CREATE TABLE s.towns (id uuid PRIMARY KEY, owner text, country text REFERENCES s.countries,
            closed_id uuid REFERENCES s.closed, note_id uuid REFERENCES s.notes);
        INSERT INTO s.countries VALUES ('ch');
        """

    private static let yaml = """
          - {table: s.closed, owner: owner, read: [staff]}
          - {table: s.names, owner: owner}
          - {table: s.own_keys, owner: owner}
          - {table: s.towns, owner: owner}
        """

    private static func with(
        _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, body)
    }

    /// The answer to one change, as its user gets it, without the change's id.
    private static func answer(
        _ database: SyncedDatabase, _ user: String, _ change: String, roles: [String] = []
    ) async throws -> String {
        let result = try await database.upload(user, roles: roles, change)
        let answer = UploadAnswer(result: result, changeIDs: [0])
        return String(buffer: answer.encoded())
    }

    @Test("The name of a closed table can be told from one that is not there")
    func names() async throws {
        try await Self.with { database in
            let closed = try await Self.answer(
                database, "ann", change(1, "INSERT", "closed", id("1"), "{}"))
            #expect(closed.contains("forbidden_table"))
            let none = try await Self.answer(
                database, "ann", change(2, "INSERT", "nothing", id("1"), "{}"))
            #expect(none.contains("unregistered_table"))
            // With rows of others in it, or of its own, the answer is the same.
            try await database.upload(
                "eva", roles: ["staff"], change(1, "INSERT", "closed", id("1"), "{}"))
            try await database.upload(
                "ann", device: "office", roles: ["staff"],
                change(1, "INSERT", "closed", id("2"), "{}"))
            for number in 1...3 {
                let again = try await Self.answer(
                    database, "ann", change(1, "INSERT", "closed", id("\(number)"), "{}"))
                #expect(
                    again.replacing(/"highest_server_seq":\d+/, with: "")
                        == closed.replacing(/"highest_server_seq":\d+/, with: ""))
            }
        }
    }

    @Test("A log's end counts what its user may not read, and nothing of other users")
    func ends() async throws {
        try await Self.with { database in
            try await database.upload(
                "eva", change(1, "INSERT", "notes", id("1"), "{}"))
            let before = try await database.pull("ann")
            #expect(before.message.nextAfter == 0)
            try await database.upload(
                "ann", device: "office", roles: ["staff"],
                change(1, "INSERT", "closed", id("2"), "{}"))
            let after = try await database.pull("ann") { $0.fresh = true }
            #expect(after.message.nextAfter == 1 && after.message.rows == 0)
        }
    }

    @Test(
        "A taken key tells that it is taken, and no more; with the owner in the index not even that"
    )
    func keys() async throws {
        try await Self.with { database in
            try await database.upload(
                "eva", change(1, "INSERT", "notes", id("1"), #"{"title":"secret"}"#),
                change(2, "INSERT", "own_keys", id("1"), "{}"))
            let taken = try await Self.answer(
                database, "ann", change(1, "INSERT", "notes", id("1"), #"{"title":"x"}"#))
            #expect(taken.contains("key_taken") && !taken.contains("secret"))
            #expect(!taken.contains("eva"))
            // Whatever eva's row is by now: its version and content are not told.
            try await database.upload(
                "eva", change(3, "UPDATE", "notes", id("1"), base: 1, #"{"title":"more"}"#))
            let again = try await Self.answer(
                database, "ann", change(1, "INSERT", "notes", id("1"), #"{"title":"x"}"#))
            #expect(again == taken)
            let own = try await Self.answer(
                database, "ann", change(2, "INSERT", "own_keys", id("1"), "{}"))
            #expect(own.contains(#""status":"applied""#))
        }
    }

    @Test("A unique value tells that somebody has it, unless the owner is in the index")
    func values() async throws {
        try await Self.with { database in
            try await database.upload(
                "eva", change(1, "INSERT", "names", id("1"), #"{"name":"x","nick":"y"}"#))
            let name = try await Self.answer(
                database, "ann", change(1, "INSERT", "names", id("2"), #"{"name":"x"}"#))
            #expect(name.contains("materialize_error") && name.contains("23505"))
            #expect(name.contains("names_name_key") && !name.contains("eva"))
            let nick = try await Self.answer(
                database, "ann", change(2, "INSERT", "names", id("3"), #"{"nick":"y"}"#))
            #expect(nick.contains(#""status":"applied""#))
        }
    }

    @Test("A parent in a table that is not registered is told apart from one that is not there")
    func references() async throws {
        try await Self.with { database in
            let there = try await Self.answer(
                database, "ann", change(1, "INSERT", "towns", id("1"), #"{"country":"ch"}"#))
            #expect(there.contains(#""status":"applied""#))
            let none = try await Self.answer(
                database, "ann", change(2, "INSERT", "towns", id("2"), #"{"country":"xx"}"#))
            #expect(none.contains("fk_missing"))
        }
    }

    @Test("Another user's row is as good as none for a foreign key")
    func parents() async throws {
        try await Self.with { database in
            try await database.upload("eva", change(1, "INSERT", "notes", id("1"), "{}"))
            func town(_ number: Int, of note: String) async throws -> String {
                try await Self.answer(
                    database, "ann",
                    change(
                        number, "INSERT", "towns", id("\(number)"), #"{"note_id":"\#(note)"}"#))
            }
            let hers = try await town(1, of: id("1"))
            let nobodys = try await town(2, of: id("7"))
            #expect(hers.contains("fk_missing"))
            #expect(hers.replacing(id("1"), with: "") == nobodys.replacing(id("7"), with: ""))
        }
    }

    @Test("A row of its own in a closed table can be a parent, and is told apart from none")
    func closedParents() async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", device: "office", roles: ["staff"],
                change(1, "INSERT", "closed", id("1"), "{}"))
            try await database.upload(
                "eva", roles: ["staff"], change(1, "INSERT", "closed", id("2"), "{}"))
            func town(_ number: Int, _ closed: Int) async throws -> String {
                try await Self.answer(
                    database, "ann",
                    change(
                        number, "INSERT", "towns", id("\(number)"),
                        #"{"closed_id":"\#(id("\(closed)"))"}"#))
            }
            #expect(try await town(11, 1).contains(#""status":"applied""#))
            #expect(try await town(12, 2).contains("fk_missing"))
            #expect(try await town(13, 3).contains("fk_missing"))
        }
    }
}
