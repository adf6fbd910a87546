import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows made before the first sync under keys that the server has already, as of a person who works signed out on a
/// second device, or of an app that begins with the same rows everywhere.
@Suite(.timeLimit(.minutes(1))) struct FirstSyncMergeTests {
    /// What a policy makes of the two rows of key 1, and what its report says.
    struct Expected: Sendable {
        let policy: ConflictPolicy
        let name: String
        let age: Int
        let outcome: ConflictReport.Outcome
        var lost: [String: DatabaseValue] = [:]
    }

    private static let lost: [String: DatabaseValue] = [
        "name": "here".databaseValue, "age": 1.databaseValue,
    ]

    static let expected = [
        Expected(policy: .fieldwise(), name: "here", age: 1, outcome: .merged),
        Expected(
            policy: .fieldwise(clash: .server), name: "there", age: 9, outcome: .tookServer,
            lost: lost),
        Expected(
            policy: .serverWins, name: "there", age: 9, outcome: .tookServer, lost: lost),
        Expected(policy: .clientWins, name: "here", age: 1, outcome: .keptClient),
        Expected(
            policy: .resolver { conflict in
                #expect(conflict.base == nil)
                return .merged(["name": conflict.local?["name"] ?? .null])
            }, name: "here", age: 9, outcome: .merged, lost: ["age": 1.databaseValue]),
    ]

    @Test(
        "rows made before the first sync meet the server's of the same keys as the policy says, and it is reported",
        arguments: expected.indices, [true, false])
    func meet(_ index: Int, isOlderThanTheEngine: Bool) async throws {
        let expected = Self.expected[index]
        let rows = """
            INSERT INTO users (id, name, age) VALUES
              ('\(key(1))', 'here', 1), ('\(key(2))', 'same', 2), ('\(key(3))', 'mine', 3);
            INSERT INTO posts (id, user_id, title) VALUES ('\(key(101))', '\(key(1))', 'a post');
            """
        let device = try Device(schema: postsAndUsers + (isOlderThanTheEngine ? rows : "")) {
            $0.conflictPolicy = expected.policy
        }
        if !isOlderThanTheEngine { try device.execute(rows) }
        for (number, name, age) in [(1, "there", 9), (2, "same", 2), (4, "theirs", 4)] {
            device.gateway.write(
                "users", key(number),
                #"{"id":"\#(key(number))","name":"\#(name)","age":\#(age)}"#)
        }
        try await device.engine.signIn(as: "user")
        let events = device.engine.events
        try await device.sync()
        try await device.sync()

        let users = [
            "\(expected.name)|\(expected.age)", "same|2", "mine|3", "theirs|4",
        ]
        #expect(try device.lines("SELECT name, age FROM users ORDER BY id") == users)
        for (number, row) in zip(1..., users) {
            let payload = try #require(device.gateway.rows("users")[key(number)])
            let values = row.split(separator: "|")
            #expect(payload.contains(#""name":"\#(values[0])","age":\#(values[1])"#), "\(payload)")
        }
        #expect(device.gateway.rows("posts").keys.sorted() == [key(101)])
        #expect(try device.lines("SELECT state FROM sync_row_status WHERE state <> 'synced'") == [])
        #expect(device.engine.status.rejectedCount == 0)

        device.engine.session.board.finish()
        var reports: [ConflictReport] = []
        for await case .conflict(let report) in events { reports.append(report) }
        // Two rows that say the same are no conflict.
        #expect(reports.map(\.key) == [key(1)])
        #expect(reports.first?.outcome == expected.outcome)
        #expect(reports.first?.columns == ["age", "name"])
        #expect(reports.first?.lost == expected.lost)
    }
}
