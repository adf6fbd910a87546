import Foundation
import Model
import Programs
import RPC
import Testing

@testable import DownloadService

/// `Docs/runbooks/revoke-a-device.md`: its commands do what the page says.
@Suite("The runbook of revocation") struct RevocationTests {
    /// Longest time of one command.
    private static let limit: Duration = .seconds(60)

    /// The page's commands: revokes a device, lists a user's devices twice, and restores.
    private static func commands() throws -> [String] {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Docs/runbooks/revoke-a-device.md")
        return try String(contentsOf: page, encoding: .utf8)
            .split(separator: "\n").map(String.init).filter { $0.hasPrefix("oversync ") }
    }

    private static func run(
        _ command: String, device: String, _ database: SyncedDatabase
    ) async throws -> String {
        // In the folder of the tests' binary.
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let programs = URL(filePath: tests).deletingLastPathComponent()
        let words = command.replacing("\"$DATABASE\"", with: database.url)
            .replacing("--user ada", with: "--user ann")
            .split(separator: " ").map { $0 == "phone" ? device : String($0) }
        let (status, text) = try await Program(
            programs.appending(component: words[0]).path, Array(words.dropFirst())
        ).result(within: limit)
        #expect(status == 0, "\(command): \(text)")
        return text
    }

    @Test(
        "A device is refused from then on, whether it came before or not, and goes on afterwards",
        arguments: ["phone", "unseen"])
    func device(_ device: String) async throws {
        let commands = try Self.commands()
        try #require(commands.count == 4)
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "phone", Self.insertion(1))
            try await database.upload("bob", device: "phone", Self.insertion(11))
            _ = try await Self.run(commands[0], device: device, database)
            await Self.expectRevoked("ann", device, database)
            try await database.upload("ann", device: "tablet", Self.insertion(2))
            try await database.upload("bob", device: "phone", Self.insertion(12))
            let listed = try await Self.run(commands[2], device: device, database)
            let revoked = listed.split(separator: "\n").filter { $0.contains("revoked") }
            #expect(revoked.count == 1 && revoked[0].contains(device), "\(listed)")
            #expect(!listed.contains("bob"))
            _ = try await Self.run(commands[3], device: device, database)
            try await database.upload("ann", device: device, Self.insertion(3))
            let audit = try await database.value(
                "SELECT string_agg(action, ' ' ORDER BY id) FROM sync.audit WHERE target <> ''")
            #expect(audit == "device.revoke device.restore")
            #expect(try await database.verify().0 == [])
        }
    }

    private static func expectRevoked(
        _ user: String, _ device: String, _ database: SyncedDatabase
    ) async {
        let codes = [
            await database.code { try await database.upload(user, device: device, insertion(9)) },
            await database.code { _ = try await database.pull(user, device: device) },
            await database.code {
                _ = try await ReadBootstrap(pool: database.downloadPool)
                    .read(UserID(user), DeviceID(device), .now + .seconds(30))
            },
        ]
        #expect(codes == Array(repeating: "device_revoked", count: 3))
    }

    private static func insertion(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("\(number + 100)"), "{}")
    }
}
