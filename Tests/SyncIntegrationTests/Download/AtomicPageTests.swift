import Foundation
import Model
import NIOCore
import Protos
import RPC
@testable import Sidecar
import Testing
@testable import UploadService

/// ```
/// log     1 2 3 4 5     2, 3 and 4 are one atomic upload
/// pages   1│2 3 4│5     whatever their limit is; never 1 2│3 4 5
/// ```
@Suite("I33: a page has an atomic upload whole, or nothing of it")
struct AtomicPageTests {
    fileprivate static func pref(_ n: Int, _ payload: String = "{}") -> String {
        change(n, "INSERT", "prefs", "k\(n)", payload)
    }

    /// One change, an atomic upload of three, and one change more.
    private static func withFive(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "tablet", pref(1))
            try await database.upload("ann", atomic: true, pref(2), pref(3), pref(4))
            try await database.upload("ann", device: "tablet", pref(5))
            try await body(database)
        }
    }

    @Test(
        "A page that reaches its limit within one goes on to its end",
        arguments: [
            (0, 1, Read(next: 1, until: 5, more: true, keys: ["k1"])),
            (0, 2, Read(next: 4, until: 5, more: true, keys: ["k1", "k2", "k3", "k4"])),
            (0, 3, Read(next: 4, until: 5, more: true, keys: ["k1", "k2", "k3", "k4"])),
            (0, 4, Read(next: 4, until: 5, more: true, keys: ["k1", "k2", "k3", "k4"])),
            (0, 5, Read(next: 5, until: 5, more: false, keys: ["k1", "k2", "k3", "k4", "k5"])),
            (1, 1, Read(next: 4, until: 5, more: true, keys: ["k2", "k3", "k4"])),
            (1, 2, Read(next: 4, until: 5, more: true, keys: ["k2", "k3", "k4"])),
            (4, 1, Read(next: 5, until: 5, more: false, keys: ["k5"])),
            // A cursor of a page that was served before it was known what belongs together.
            (2, 1, Read(next: 4, until: 5, more: true, keys: ["k3", "k4"])),
        ])
    func limits(after: Int, limit: Int, page: Read) async throws {
        try await Self.withFive { database in
            let read = try await database.page("ann", after: after, limit: limit)
            #expect(read == page)
        }
    }

    @Test(
        "A window that would end within one ends before it",
        arguments: [
            (0, 1, Read(next: 1, until: 1, more: false, keys: ["k1"])),
            (0, 2, Read(next: 1, until: 1, more: false, keys: ["k1"])),
            (0, 3, Read(next: 1, until: 1, more: false, keys: ["k1"])),
            (0, 4, Read(next: 4, until: 4, more: false, keys: ["k1", "k2", "k3", "k4"])),
            (1, 3, Read(next: 1, until: 1, more: false, keys: [])),
            (2, 3, Read(next: 2, until: 1, more: false, keys: [])),
        ])
    func windows(after: Int, until: Int, page: Read) async throws {
        try await Self.withFive { database in
            for limit in [100, 2] {
                let read = try await database.page(
                    "ann", after: after, until: until, limit: limit)
                #expect(read == page)
            }
        }
    }

    @Test("What a caller does not get takes nothing of its limit, and the cursor passes over it")
    func hidden() async throws {
        try await Self.withFive { database in
            func own(_ after: Int) async throws -> Read {
                try await database.page("ann", device: "phone", after: after, limit: 1, own: false)
            }
            let first = try await own(0)
            #expect(first == Read(next: 1, until: 5, more: true, keys: ["k1"]))
            let second = try await own(1)
            #expect(second == Read(next: 5, until: 5, more: false, keys: ["k5"]))
            let other = try await database.page("ann", schema: "other", limit: 1)
            #expect(other == Read(next: 5, until: 5, more: false, keys: []))
        }
    }

    @Test("What an atomic upload causes is part of it, for its own device too")
    func caused() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), "{}"),
                change(2, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))"}"#),
                change(3, "INSERT", "items", id("b2"), #"{"note_id":"\#(id("a1"))"}"#))
            try await database.upload(
                "ann", atomic: true, change(4, "DELETE", "notes", id("a1"), base: 1), Self.pref(5))
            try await database.upload("ann", device: "tablet", Self.pref(6))
            let whole = try await database.page("ann", after: 3, limit: 1)
            #expect(whole.next == 7 && whole.more)
            #expect(Set(whole.keys) == [id("a1"), id("b1"), id("b2"), "k5"])
            let caused = try await database.page(
                "ann", device: "phone", after: 3, limit: 1, own: false)
            #expect(caused.next == 7 && caused.more)
            #expect(Set(caused.keys) == [id("b1"), id("b2")])
        }
    }

    @Test("One whose rows only fit together, and are written with isolation, is whole too")
    func isolated() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.cells (id uuid PRIMARY KEY, owner text, pos int NOT NULL,
                    UNIQUE (owner, pos));
                """, registered: "  - {table: s.cells, owner: owner}"
        ) { database in
            func cell(_ n: Int, _ key: String, _ pos: Int, base: Int = 0) -> String {
                change(n, "INSERT", "cells", id(key), base: base, #"{"pos":\#(pos)}"#)
            }
            try await database.upload("ann", cell(1, "a1", 1), cell(2, "a2", 2))
            let answer = try await database.outcomes(
                "ann", atomic: true, cell(3, "a1", 2, base: 1), cell(4, "a2", 1, base: 1))
            #expect(answer == ["applied 2", "applied 2"])
            try await database.upload("ann", Self.pref(5))
            #expect(
                try await database.page("ann", after: 2, limit: 1)
                    == Read(next: 4, until: 5, more: true, keys: [id("a1"), id("a2")]))
        }
    }

    @Test("No other upload is held together, and one that is abandoned leaves nothing")
    func recorded() async throws {
        try await SyncedDatabase.with { database in
            func records() async throws -> String? {
                try await database.value(
                    """
                    SELECT string_agg(s.user_id || ' ' || first_seq || '-' || a.last_seq || ' of '
                        || atomic_seq, ', ' ORDER BY scope_id, a.last_seq)
                    FROM sync.atomic_upload a JOIN sync.scope s USING (scope_id)
                    """)
            }
            try await database.upload("ann", Self.pref(1), Self.pref(2))
            try await database.upload("ann", atomic: true, Self.pref(3))
            try await database.upload("ann", atomic: true)
            try await database.upload(
                "ann", atomic: true, Self.pref(4), change(5, "UPDATE", "prefs", "k5", base: 3, "{}")
            )
            #expect(try await records() == "NULL")
            for _ in 0..<2 {
                try await database.upload("ann", atomic: true, Self.pref(6), Self.pref(7))
            }
            try await database.upload("bob", atomic: true, Self.pref(1), Self.pref(2))
            try await database.upload("ann", atomic: true, Self.pref(8), Self.pref(9))
            #expect(try await records() == "ann 4-5 of 7, ann 6-7 of 7, bob 1-2 of 2")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Own changes that come back are whole, under the name that their device expects")
    func returned() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.sums (id uuid PRIMARY KEY, owner text, n numeric(6,2));",
            registered: "  - {table: s.sums, owner: owner}"
        ) { database in
            func sum(_ n: Int) -> String {
                change(n, "INSERT", "sums", id("a\(n)"), #"{"n":1.005}"#)
            }
            try await database.upload("ann", atomic: true, sum(1), sum(2), sum(3))
            try await database.upload("ann", sum(4))
            let epoch = try await database.value("SELECT epoch::text FROM sync.meta")
            for (known, name) in [(nil, ""), (epoch, "phone")] {
                let reply = try await database.pull("ann", device: "phone") {
                    $0.limit = 1
                    if let known { $0.epoch = known }
                }
                let body = String(buffer: reply.body)
                #expect(reply.message.rows == 3 && reply.message.nextAfter == 3)
                #expect(body.split(separator: #""source_id":"\#(name)""#).count == 4)
            }
        }
    }

    @Test("Compaction takes nothing apart, and forgets what has no two changes left")
    func compacted() async throws {
        try await Self.withFive { database in
            func edit(_ n: Int, _ key: Int, base: Int) -> String {
                change(n, "UPDATE", "prefs", "k\(key)", base: base, "{}")
            }
            func count() async throws -> String? {
                try await database.value("SELECT count(*)::text FROM sync.atomic_upload")
            }
            try await database.upload("ann", edit(6, 3, base: 1))
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(
                try await database.page("ann", limit: 2)
                    == Read(next: 4, until: 6, more: true, keys: ["k1", "k2", "k4"]))
            #expect(try await count() == "1")
            try await database.upload("ann", edit(7, 2, base: 1))
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(try await count() == "0")
            #expect(
                try await database.page("ann", limit: 2)
                    == Read(next: 4, until: 7, more: true, keys: ["k1", "k4"]))
            #expect(try await database.verify().0 == [])
        }
    }
}

extension AtomicPageTests {
    /// A payload of about a megabyte; eight of them fill a page.
    private static let large = #"{"value":"\#(String(repeating: "x", count: 1_000_000))"}"#

    private static func upload(
        _ numbers: ClosedRange<Int>, atomic: Bool, _ database: SyncedDatabase
    ) async throws {
        let changes = numbers.map { pref($0, large) }.joined(separator: ",")
        let result = try await database.upload("ann", atomic: atomic, changes)
        #expect(result.sequences?.count == numbers.count)
    }

    private static func keys(_ numbers: ClosedRange<Int>) -> [String] { numbers.map { "k\($0)" } }

    @Test(
        "One that has no room beside the rows before it begins the next page",
        arguments: [2, 6, 1000])
    func noRoom(limit: Int) async throws {
        try await SyncedDatabase.with { database in
            try await Self.upload(1...2, atomic: false, database)
            try await Self.upload(3...9, atomic: true, database)
            try await Self.upload(10...10, atomic: false, database)
            #expect(
                try await database.page("ann", limit: limit)
                    == Read(next: 2, until: 10, more: true, keys: Self.keys(1...2)))
            #expect(
                try await database.page("ann", after: 2, limit: 6)
                    == Read(next: 9, until: 10, more: true, keys: Self.keys(3...9)))
        }
    }

    @Test("One that is larger than a page is a page by itself")
    func largerThanPage() async throws {
        try await SyncedDatabase.with { database in
            try await Self.upload(1...1, atomic: false, database)
            try await Self.upload(2...13, atomic: true, database)
            try await Self.upload(14...14, atomic: false, database)
            for limit in [1, 8, 1000] {
                #expect(
                    try await database.page("ann", limit: limit)
                        == Read(next: 1, until: 14, more: true, keys: ["k1"]))
                #expect(
                    try await database.page("ann", after: 1, limit: limit)
                        == Read(next: 13, until: 14, more: true, keys: Self.keys(2...13)))
            }
        }
    }

    @Test("One that no answer can carry comes in parts", arguments: [false, true])
    func largerThanAnswer(isProtobuf: Bool) async throws {
        try await SyncedDatabase.with { database in
            try await Self.upload(1...1, atomic: false, database)
            try await Self.upload(2...21, atomic: true, database)
            var after: Int64 = 0
            var rows: [UInt32] = []
            while after < 21 {
                let reply = try await database.pull("ann") {
                    ($0.after, $0.asProtobuf) = (after, isProtobuf)
                }
                #expect(reply.body.readableBytes < RPCLimits().maximumFrameBytes)
                #expect(reply.message.hasMore_p == (reply.message.nextAfter < 21))
                try #require(reply.message.nextAfter > after)
                rows.append(reply.message.rows)
                after = reply.message.nextAfter
            }
            #expect(rows == [1, 16, 4])
        }
    }
}
