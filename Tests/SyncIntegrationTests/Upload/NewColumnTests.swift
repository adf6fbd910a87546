import Model
import Sidecar
import Testing

@Suite("Columns that are added while the services run")
struct NewColumnTests {
    @Test("Members that are no columns are kept, as far as there are not too many different ones")
    func manyUnknownMembers() async throws {
        try await SyncedDatabase.with { database in
            let perChange = 2000
            let changes = (1...6).map { number in
                let members = (0..<perChange).map { name in #""x\#(number)_\#(name)":1"# }
                return change(
                    number, "INSERT", "notes", id("a\(number)"),
                    "{\(members.joined(separator: ","))}")
            }
            let outcomes = try await database.outcomes("ann", changes.joined(separator: ","))
            #expect(outcomes == Array(repeating: "applied 1", count: 5) + ["invalid bad_payload"])
            #expect(try await database.outcomes("ann", changes[5]) == ["applied 1"])
            let payloads = try await database.download("ann").map(\.payload)
            #expect(payloads.map { $0?.count } == Array(repeating: perChange, count: 6))
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A value for a column that the service has not seen yet is written, not passed over")
    func added() async throws {
        try await SyncedDatabase.with { database in
            // The catalog is read, as a service has it until its next look.
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
                    == ["applied 1"])
            try await database.execute("ALTER TABLE s.notes ADD COLUMN \"Colour\" text")
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(
                try await database.outcomes(
                    "ann",
                    change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"co\u006cour":"red"}"#),
                    change(3, "INSERT", "prefs", "k", #"{"value":"v","unknown":1}"#),
                    change(4, "INSERT", "notes", id("a2"), #"{"colour":"blue","unknown":1}"#))
                    == ["applied 2", "applied 1", "applied 1"])
            #expect(
                try await database.value(
                    "SELECT string_agg(\"Colour\", ' ' ORDER BY id) FROM s.notes")
                    == "red blue")
            #expect(try await database.download("ann").count == 4)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("It is written where other rows of the upload are refused, too")
    func addedBesideRefused() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.execute("ALTER TABLE s.notes ADD COLUMN stars int CHECK (stars < 6)")
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(
                try await database.outcomes(
                    "ann", change(2, "INSERT", "notes", id("a2"), #"{"stars":7}"#),
                    change(3, "UPDATE", "notes", id("a1"), base: 1, #"{"stars":5}"#))
                    == ["materialize_error 23514", "applied 2"])
            #expect(try await database.value("SELECT stars::text FROM s.notes") == "5")
        }
    }

    @Test("Names that are no columns cost no round trip, and the catalog is not read for them")
    func unknown() async throws {
        try await SyncedDatabase.with { database in
            try await database.throughProxy { proxy, near in
                func trips(_ number: Int, _ payload: String) async throws -> Int {
                    try await proxy.roundTrips {
                        let outcomes = try await near.outcomes(
                            "ann", change(number, "INSERT", "prefs", "k\(number)", payload))
                        #expect(outcomes == ["applied 1"])
                    }
                }
                _ = try await trips(1, "{}")
                let usual = try await trips(2, #"{"value":"v"}"#)
                for number in 3...6 {
                    #expect(try await trips(number, #"{"value":"v","legacy":1}"#) == usual)
                }
            }
        }
    }
}
