import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import Sidecar
import SwiftProtobuf
import Testing

@testable import UploadService

/// What administrators see of devices, and whom they let in.
@Suite("Administration of devices") struct DeviceAdministrationTests {
    private static func insertion(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("\(number + 100)"), "{}")
    }

    private static func context(roles: [String] = ["admin"]) -> CallContext {
        CallContext(
            requestID: "t", deadline: .now + .seconds(30),
            caller: CallerIdentity(user: "root", device: "console", roles: roles))
    }

    private static func calls(_ database: SyncedDatabase) -> AdministerDevices {
        AdministerDevices(
            pool: database.pool, administrators: Administrators(role: "admin"),
            quotas: database.executor.quotas)
    }

    private static func setAccess(
        _ mayAccess: Bool, _ user: String, _ device: String, _ calls: AdministerDevices
    ) async throws -> DeviceRecord {
        try await calls.setAccess(
            .with { ($0.user, $0.device, $0.mayAccess) = (user, device, mayAccess) }, context()
        ).message.device
    }

    @Test("A device is revoked and let in again, also one that never came; all of it is recorded")
    func access() async throws {
        try await SyncedDatabase.with { database in
            let calls = Self.calls(database)
            try await database.upload("ann", device: "phone", Self.insertion(1))
            for (user, device) in [("ann", "phone"), ("ann", "lost"), ("zoe", "new")] {
                #expect(try await Self.setAccess(false, user, device, calls).revoked > 0)
                // It stays revoked since the first time.
                let again = try await Self.setAccess(false, user, device, calls)
                #expect(again.user == user && again.device == device && again.revoked > 0)
                let code = await database.code {
                    try await database.upload(user, device: device, Self.insertion(2))
                }
                #expect(code == "device_revoked")
                #expect(try await Self.setAccess(true, user, device, calls).revoked == 0)
            }
            try await database.upload("ann", device: "phone", Self.insertion(2))
            try await database.upload("zoe", device: "new", Self.insertion(11))
            let code = await database.code {
                _ = try await Self.setAccess(true, "ann", "unheard", calls)
            }
            #expect(code == "unknown_device")
            let audit = try await database.value(
                """
                SELECT string_agg(concat_ws(' ', actor, action, outcome, code,
                    details->>'user', details->>'device'), ', ' ORDER BY id) FROM sync.audit
                WHERE target IN ('ann/lost', 'ann/unheard')
                """)
            #expect(
                audit == """
                    root device.revoke done ann lost, \
                    root device.revoke done unchanged ann lost, \
                    root device.restore done ann lost, \
                    root device.restore refused unknown_device ann unheard
                    """)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Devices get different numbers, however uploads and revocations meet")
    func numbers() async throws {
        try await SyncedDatabase.with { database in
            let calls = Self.calls(database)
            try await database.upload("ann", device: "first", Self.insertion(1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        _ = try await Self.setAccess(false, "ann", "lost \(number)", calls)
                    }
                    group.addTask {
                        try await database.upload(
                            "ann", device: "\(number)", Self.insertion(number + 2))
                    }
                }
                try await group.waitForAll()
            }
            let counts = try await database.value(
                "SELECT concat(count(*), ' ', count(DISTINCT source_no)) FROM sync.source")
            #expect(counts == "41 41")
        }
    }

    @Test("A page of the list begins after the last device of the page before it")
    func list() async throws {
        try await SyncedDatabase.with { database in
            let calls = Self.calls(database)
            for (user, device, number) in [
                ("ann", "phone", 1), ("bob", "b", 11), ("ann", "tablet", 2), ("bob", "a", 12),
            ] {
                try await database.upload(user, device: device, Self.insertion(number))
            }
            _ = try await Self.setAccess(false, "ann", "tablet", calls)
            var seen: [String] = []
            var request = ListDevicesRequest.with { $0.limit = 1 }
            while let device = try await calls.list(request, Self.context()).message.devices.first {
                seen.append("\(device.user)/\(device.device) \(device.lastChangeID)")
                #expect(device.firstSeen > 0 && device.lastUpload > 0)
                #expect((device.revoked > 0) == (device.device == "tablet"))
                (request.afterUser, request.afterDevice) = (device.user, device.device)
            }
            #expect(seen == ["ann/phone 1", "ann/tablet 2", "bob/a 12", "bob/b 11"])
            let bobs = try await calls.list(
                .with { ($0.user, $0.limit) = ("bob", 10) }, Self.context())
            #expect(bobs.message.devices.map(\.device) == ["a", "b"])
            let ann = try await calls.show(.with { $0.user = "ann" }, Self.context()).message
            #expect(ann.lastSequence == 2 && ann.devices == 2 && ann.revokedDevices == 1)
            let code = await database.code {
                _ = try await calls.show(.with { $0.user = "nobody" }, Self.context())
            }
            #expect(code == "unknown_user")
        }
    }

    @Test("Nobody else is let in, whatever the gateway has said; bad names are refused")
    func refusals() async throws {
        try await SyncedDatabase.with { database in
            let calls = Self.calls(database)
            let context = Self.context(roles: ["editor"])
            let refused: [@Sendable () async throws -> Void] = [
                { _ = try await calls.list(.init(), context) },
                { _ = try await calls.setAccess(.init(), context) },
                { _ = try await calls.show(.init(), context) },
                {
                    _ = try await ListFailures(
                        store: FailureStore(pool: database.pool),
                        administrators: calls.administrators)(.init(), context)
                },
            ]
            for call in refused {
                let code = await database.code(call)
                #expect(code == "forbidden")
            }
            for (user, device) in [
                ("", "d"), ("u", ""), ("u\u{0}", "d"), ("u", "a\u{1F}b"),
                (String(repeating: "u", count: 257), "d"),
            ] {
                let code = await database.code {
                    _ = try await Self.setAccess(false, user, device, calls)
                }
                #expect(code == "invalid_request")
            }
            let sources = try await database.value("SELECT count(*)::text FROM sync.source")
            #expect(sources == "0")
        }
    }
}
