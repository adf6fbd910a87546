import Model
import Postgres
import Protos
import Sidecar
import SwiftProtobuf
import Testing

@testable import DownloadService
@testable import UploadService

/// Devices whose access is taken away while they wait for news.
@Suite("Revocation of devices that wait") struct RevokedWhileWaitingTests {
    private func insertion(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("\(number + 100)"), "{}")
    }

    @Test("A device that is revoked while it waits hears of it at the next poll; others wait on")
    func revokedWhileWaiting() async throws {
        try await SyncedDatabase.with { database in
            for (number, device) in [(1, "phone"), (2, "tablet")] {
                try await database.upload("ann", device: device, insertion(number))
                _ = try await database.pull("ann", device: device)
            }
            @Sendable func wait(_ device: String) async -> String {
                await database.code {
                    _ = try await database.pull("ann", device: device) { request in
                        (request.after, request.waitSeconds) = (2, 50)
                    }
                }
            }
            @Sendable func setAccess(_ mayAccess: Bool) async throws {
                let place = DevicePlace(user: UserID("ann"), device: DeviceID("phone"))
                try await database.pool.withConnection {
                    _ = try await Devices.setAccess(
                        mayAccess, of: place, by: .session(on: nil), on: $0)
                }
            }
            async let tablet = wait("tablet")
            async let phone = wait("phone")
            while database.heads.waiting < 2 { await Task.yield() }
            try await setAccess(false)
            await database.heads.poll()
            #expect(await phone == "device_revoked")
            #expect(database.heads.waiting == 1)
            // Let in again, before the replica has looked: it waits, and does not ask in a circle.
            try await setAccess(true)
            async let again = wait("phone")
            while database.heads.waiting < 2 { await Task.yield() }
            let before = database.heads.readings
            await database.heads.poll()
            while database.heads.waiting < 2 { await Task.yield() }
            #expect(database.heads.readings.states <= before.states + 1)
            let result = try await database.upload("ann", device: "desk", insertion(3))
            database.heads.remember(result.highestSequence, of: UserID("ann"))
            #expect(await [tablet, again] == ["served", "served"])
        }
    }
}
