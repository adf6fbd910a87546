import Testing

@testable import UploadService

/// Rules V1 to V11 and the table of the reference's §2.4, on PostgreSQL: every step checks the answer, and in
/// the end the feed and, by `verify`, log, row states and business tables.
@Suite("Every rule of the protocol, one change at a time")
struct RuleTests {
    /// A history of one user: uploads, each with the lines of its answer, and what a new device gets.
    struct History: CustomTestStringConvertible, Sendable {
        let name: String
        let steps: [Step]
        let feed: [String]
        var testDescription: String { name }
    }

    struct Step: Sendable {
        var device = "phone"
        let changes: [String]
        let answer: [String]
    }

    private static let a1 = id("a1")
    private static let a2 = id("a2")
    private static func note(
        _ n: Int, _ op: String = "INSERT", _ key: String = id("a1"), base: Int = 0,
        _ title: String = "x"
    ) -> String {
        change(n, op, "notes", key, base: base, op == "DELETE" ? nil : #"{"title":"\#(title)"}"#)
    }

    static let histories = [
        History(
            name: "a row is created, edited, deleted, resurrected and deleted again",
            steps: [
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(changes: [note(2, "UPDATE", base: 1)], answer: ["applied 2"]),
                Step(changes: [note(3, "DELETE", base: 2)], answer: ["applied 3"]),
                Step(changes: [note(4, "INSERT", base: 3)], answer: ["applied 4"]),
                Step(changes: [note(5, "DELETE", base: 4)], answer: ["applied 5"]),
                Step(changes: [note(6, "DELETE", base: 5)], answer: ["applied 6"]),
            ],
            feed: [
                "I notes a1 1", "U notes a1 2", "D notes a1 3", "I notes a1 4", "D notes a1 5",
                "D notes a1 6",
            ]),
        History(
            name:
                "an update on base 0 of an unknown row creates it; V9: on another base it is row_missing",
            steps: [
                Step(changes: [note(1, "UPDATE")], answer: ["applied 1"]),
                Step(changes: [note(2, "UPDATE", a2, base: 3)], answer: ["invalid row_missing"]),
                Step(changes: [note(2, "UPDATE", a2, base: 0)], answer: ["applied 1"]),
            ],
            feed: ["U notes a1 1", "U notes a2 1"]),
        History(
            name: "a delete of what never was is applied and leaves nothing",
            steps: [
                Step(changes: [note(1, "DELETE")], answer: ["applied"]),
                Step(changes: [note(2, "DELETE", base: 7)], answer: ["applied"]),
            ],
            feed: []),
        History(
            name:
                "V4: a stale base is a conflict with the server's row and its writer, as often as it is sent",
            steps: [
                Step(changes: [titled(1, "one")], answer: ["applied 1"]),
                Step(
                    device: "tablet", changes: [titled(1, "two")],
                    answer: [#"conflict 1 by phone/1 {"title":"one"}"#]),
                Step(
                    device: "tablet", changes: [titled(1, "two")],
                    answer: [#"conflict 1 by phone/1 {"title":"one"}"#]),
                Step(
                    device: "tablet", changes: [note(2, "DELETE", base: 9)],
                    answer: [#"conflict 1 by phone/1 {"title":"one"}"#]),
                Step(changes: [note(2, "DELETE", base: 1)], answer: ["applied 2"]),
                Step(
                    device: "tablet", changes: [note(3)], answer: ["conflict 2 by phone/2 deleted"]),
                Step(
                    device: "tablet", changes: [note(4, "DELETE", base: 1)],
                    answer: ["conflict 2 by phone/2 deleted"]),
            ],
            feed: ["I notes a1 1", "D notes a1 2"]),
        History(
            name:
                "V2, H4: a repeat is applied with its own version, also when the row has moved on",
            steps: [
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(changes: [note(2, "UPDATE", base: 1)], answer: ["applied 2"]),
                Step(
                    changes: [note(1), note(2, "UPDATE", base: 1)],
                    answer: ["applied 1", "applied 2"]),
                Step(changes: [note(3, "DELETE", base: 2)], answer: ["applied 3"]),
                Step(changes: [note(3, "DELETE", base: 2)], answer: ["applied 3"]),
            ],
            feed: ["I notes a1 1", "U notes a1 2", "D notes a1 3"]),
        History(
            name:
                "S5, V3: an edit under a used id is that change's successor while the row is as it made it",
            steps: [
                Step(changes: [titled(1, "one")], answer: ["applied 1"]),
                Step(changes: [titled(1, "edited")], answer: ["applied 2"]),
                Step(changes: [titled(1, "edited")], answer: ["applied 2"]),
                Step(
                    device: "tablet", changes: [note(1, "UPDATE", base: 2, "theirs")],
                    answer: ["applied 3"]),
                Step(
                    changes: [titled(1, "late")],
                    answer: [#"conflict 3 by tablet/1 {"title":"theirs"}"#]),
            ],
            feed: ["I notes a1 1", "I notes a1 2", "U notes a1 3"]),
        History(
            name: "the same id of another device is another change",
            steps: [
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(device: "tablet", changes: [note(1, "INSERT", a2)], answer: ["applied 1"]),
            ],
            feed: ["I notes a1 1", "I notes a2 1"]),
        History(
            name: "S3: a chain on one row inside a batch is decided in order",
            steps: [
                Step(
                    changes: [
                        note(1), note(2, "UPDATE", base: 1, "y"), note(3, "UPDATE", base: 2, "z"),
                    ],
                    answer: ["applied 1", "applied 2", "applied 3"])
            ],
            feed: ["I notes a1 1", "U notes a1 2", "U notes a1 3"]),
        History(
            name:
                "S1: of two edits of one version in a batch the second is a conflict and leaves no trace",
            steps: [
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(
                    changes: [note(2, "UPDATE", base: 1, "y"), note(3, "UPDATE", base: 1, "z")],
                    answer: ["applied 2", #"conflict 2 by phone/2 {"title":"y"}"#]),
                Step(changes: [note(3, "UPDATE", base: 2, "z")], answer: ["applied 3"]),
            ],
            feed: ["I notes a1 1", "U notes a1 2", "U notes a1 3"]),
        History(
            name: "two inserts of one row in a batch: the first is applied",
            steps: [
                Step(
                    changes: [titled(1, "a"), titled(2, "b")],
                    answer: ["applied 1", #"conflict 1 by phone/1 {"title":"a"}"#])
            ],
            feed: ["I notes a1 1"]),
        History(
            name: "S3: one id for two rows in a batch writes both",
            steps: [
                Step(
                    changes: [note(1), note(1, "INSERT", a2)], answer: ["applied 1", "applied 1"])
            ],
            feed: ["I notes a1 1", "I notes a2 1"]),
        History(
            name: "the same change twice in a batch takes effect once",
            steps: [Step(changes: [note(1), note(1)], answer: ["applied 1", "applied 1"])],
            feed: ["I notes a1 1"]),
        History(
            name: "upserts go before deletes whatever their order in the request",
            steps: [
                Step(changes: [note(1)], answer: ["applied 1"]),
                Step(
                    changes: [note(3, "DELETE", base: 2), note(2, "UPDATE", base: 1)],
                    answer: ["applied 3", "applied 2"]),
            ],
            feed: ["I notes a1 1", "U notes a1 2", "D notes a1 3"]),
        History(
            name: "parents go before children, deletes the other way round",
            steps: [
                Step(
                    changes: [
                        change(1, "INSERT", "links", id("b1"), #"{"note_id":"\#(a1)"}"#), note(2),
                    ],
                    answer: ["applied 1", "applied 1"]),
                Step(
                    changes: [
                        note(3, "DELETE", base: 1), change(4, "DELETE", "links", id("b1"), base: 1),
                    ],
                    answer: ["applied 2", "applied 2"]),
            ],
            feed: ["I notes a1 1", "I links b1 1", "D links b1 2", "D notes a1 2"]),
        History(
            name:
                "S9: a foreign key without parent is fk_missing, also when the parent of the batch is refused",
            steps: [
                Step(
                    changes: [change(1, "INSERT", "items", id("b1"), #"{"note_id":"\#(a1)"}"#)],
                    answer: ["invalid fk_missing s.notes:\(a1)"]),
                Step(
                    changes: [
                        note(2, "UPDATE", base: 5),
                        change(1, "INSERT", "items", id("b1"), #"{"note_id":"\#(a1)"}"#),
                        change(3, "INSERT", "items", id("b2"), #"{"note_id":null}"#),
                        change(4, "INSERT", "items", id("b3"), #"{"note_id":""}"#),
                    ],
                    answer: [
                        "invalid row_missing", "invalid fk_missing s.notes:\(a1)", "applied 1",
                        "applied 1",
                    ]),
            ],
            feed: ["I items b2 1", "I items b3 1"]),
        History(
            name: "V10, S17: an unregistered table and malformed changes are refused alone",
            steps: [
                Step(
                    changes: [
                        change(1, "INSERT", "nothing", a1, "{}"), note(2),
                        change(3, "UPSERT", "notes", a2, "{}"),
                        change(4, "INSERT", "notes", "no-uuid", "{}"),
                        change(5, "INSERT", "notes", a2, "[]"),
                        change(6, "INSERT", "notes", a2),
                        change(7, "DELETE", "notes", a1, base: 1, "null"),
                        change(8, "INSERT", "notes", a2, #"{"title":"\u0000"}"#),
                        change(9, "INSERT", "notes", a2, #"{"title":"\ud800"}"#),
                        change(10, "INSERT", "notes", a2, #"{"title":"a","title":"b"}"#),
                    ],
                    answer: ["invalid unregistered_table", "applied 1"]
                        + Array(repeating: "invalid bad_payload", count: 8))
            ],
            feed: ["I notes a1 1"]),
        History(
            name: "names, operations and keys are taken in any usual spelling",
            steps: [
                Step(
                    changes: [
                        #"{"source_change_id":1,"schema":" S ","table":"NOTES ","op":" insert","pk":"{\#(a1.uppercased())}","payload":{}}"#,
                        #"{"source_change_id":2,"schema":"s","table":"notes","op":"Insert","pk":"\#(a2.replacing("-", with: ""))","payload":{}}"#,
                        #"{"source_change_id":3,"schema":"s","table":"notes","op":"INSERT","pk":"urn:uuid:\#(id("a3"))","payload":{}}"#,
                    ],
                    answer: ["applied 1", "applied 1", "applied 1"])
            ],
            feed: ["I notes a1 1", "I notes a2 1", "I notes a3 1"]),
    ]

    private static func titled(_ n: Int, _ title: String) -> String {
        note(n, "INSERT", a1, title)
    }

    @Test(
        "Changes that all have one id are applied and recognised, and cost no more the more there were"
    )
    func oneID() async throws {
        try await SyncedDatabase.with { database in
            try await database.throughProxy { proxy, near in
                func batch(_ round: Int) -> String {
                    (0..<50).map { row in
                        change(0, "INSERT", "notes", id("a\(round * 100 + row)"), "{}")
                    }.joined(separator: ",")
                }
                var answered: [Int] = []
                for round in 1...8 {
                    let before = proxy.answeredBytes
                    let outcomes = try await near.outcomes("ann", batch(round))
                    answered.append(proxy.answeredBytes - before)
                    #expect(outcomes == Array(repeating: "applied 1", count: 50))
                }
                // Rounds 1 and 2 read the catalog and prepare statements.
                #expect(answered[7] < answered[3] * 2)
                let again = try await near.upload("ann", batch(3))
                #expect(again.outcomes.map(\.line) == Array(repeating: "applied 1", count: 50))
                #expect(again.duplicates == 50)
                // The row's newest change under the id is succeeded; another row's is not.
                let next = change(0, "UPDATE", "notes", id("a301"), base: 0, #"{"title":"x"}"#)
                #expect(try await near.outcomes("ann", next) == ["applied 2"])
                #expect(
                    try await near.outcomes("ann", device: "tablet", next).first?.hasPrefix(
                        "conflict") == true)
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Histories", arguments: histories)
    func history(_ history: History) async throws {
        try await SyncedDatabase.with { database in
            for (number, step) in history.steps.enumerated() {
                let answer = try await database.outcomes(
                    "ann", device: step.device, step.changes.joined(separator: ","))
                #expect(answer == step.answer, "step \(number + 1)")
            }
            #expect(try await database.feed("ann") == history.feed)
            let sequences = try await database.download("ann").map(\.sequence)
            #expect(sequences == Array(1..<(history.feed.count + 1)), "V1: dense from 1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("An atomic upload is applied whole, or not at all and says which change was in the way")
    func atomic() async throws {
        try await SyncedDatabase.with { database in
            let good = try await database.outcomes(
                "ann", atomic: true, Self.note(1), Self.note(2, "INSERT", Self.a2))
            #expect(good == ["applied 1", "applied 1"])
            let bad = try await database.outcomes(
                "ann", atomic: true, Self.note(3, "UPDATE", base: 1),
                Self.note(4, "UPDATE", Self.a2, base: 7))
            #expect(bad == ["aborted", #"conflict 1 by phone/2 {"title":"x"}"#])
            #expect(try await database.feed("ann") == ["I notes a1 1", "I notes a2 1"])
            #expect(try await database.verify().0 == [])
        }
    }
}
