@testable import DownloadService
import Foundation
import Model
import RPC
import Testing

/// `Docs/runbooks/revoke-a-device.md`: what it tells to run does what it says.
@Suite("The runbook of revocation")
struct RevocationTests {
    /// The page's SQL, in its order: a device, a whole user, what is revoked, a device again.
    private static func scripts(user: String, device: String) throws -> [String] {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Docs/runbooks/revoke-a-device.md")
        return try String(contentsOf: page, encoding: .utf8)
            .matches(of: /```sql\n((?:.*\n)*?)```/).map {
                String($0.output.1).replacing(":'user'", with: "'\(user)'")
                    .replacing(":'device'", with: "'\(device)'")
            }
    }

    @Test(
        "A device is refused from then on, whether it uploaded before or not, and goes on when let in again",
        arguments: ["phone", "never seen"])
    func device(_ device: String) async throws {
        let scripts = try Self.scripts(user: "ann", device: device)
        try #require(scripts.count == 4)
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "phone", Self.note(1))
            // A device that is revoked twice stays so.
            for _ in 0..<2 { try await database.execute("BEGIN; \(scripts[0]); COMMIT") }
            await Self.expectRevoked("ann", device, database)
            try await database.upload("ann", device: "tablet", Self.note(2))
            #expect(
                try await database.value("SELECT count(*) FROM (\(Self.query(scripts[2]))) AS r")
                    == "1")
            try await database.execute(scripts[3])
            try await database.upload("ann", device: device, Self.note(3))
            #expect(try await database.value("SELECT count(*) FROM sync.audit") == "2")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A device of a user who has no log yet is refused, and no other user's")
    func newUser() async throws {
        let scripts = try Self.scripts(user: "zoe", device: "phone")
        try await SyncedDatabase.with { database in
            try await database.execute(scripts[0])
            await Self.expectRevoked("zoe", "phone", database)
            try await database.upload("ann", device: "phone", Self.note(1))
        }
    }

    @Test("All devices of a user that ever uploaded are refused")
    func user() async throws {
        let scripts = try Self.scripts(user: "ann", device: "phone")
        try await SyncedDatabase.with { database in
            for (number, device) in ["phone", "tablet"].enumerated() {
                try await database.upload("ann", device: device, Self.note(number))
            }
            try await database.upload("bob", device: "phone", Self.note(2))
            try await database.execute(scripts[1])
            for device in ["phone", "tablet"] {
                await Self.expectRevoked("ann", device, database)
            }
            try await database.upload("bob", device: "phone", Self.note(3))
        }
    }

    private static func expectRevoked(
        _ user: String, _ device: String, _ database: SyncedDatabase
    ) async {
        await #expect(throws: RPCFailure.self) {
            try await database.upload(user, device: device, note(9))
        }
        await #expect(throws: RPCFailure.self) { try await database.pull(user, device: device) }
        let standing = await #expect(throws: RPCFailure.self) {
            try await ReadBootstrap(pool: database.downloadPool)
                .read(UserID(user), DeviceID(device), .now + .seconds(30))
        }
        #expect(standing?.code == "device_revoked")
    }

    private static func note(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("a\(number)"), "{}")
    }

    /// Without the semicolon, to stand inside another.
    private static func query(_ script: String) -> String {
        script.trimmingCharacters(in: .whitespacesAndNewlines.union([";"]))
    }
}
