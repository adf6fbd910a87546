import Foundation
import GRDB
import OverSQLite
import OverSQLiteTestSupport
import Synchronization
import Testing

/// What apps get for their own tests.
@Suite struct TestSupportTests {
    private final class Reports: Sendable {
        let all = Mutex<[String]>([])
    }

    private static func device(_ gateway: any HTTPTransport, _ reports: Reports) throws
        -> TestDevice
    {
        try TestDevice(
            "one", gateway, tables: [SyncTable("users"), SyncTable("posts")],
            migrate: { try $0.execute(sql: postsAndUsers) },
            report: { report in reports.all.withLock { $0.append(report) } })
    }

    @Test(
        "A device that goes with changes pending or refused fails its test, one that has synced does not"
    )
    func pendingAtEnd() async throws {
        let reports = Reports()
        let gateway = InMemoryGateway()
        for ending in ["pending", "refused", "synced", "allowed"] {
            let device = try Self.device(gateway, reports)
            try await device.database.write {
                try $0.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
            }
            gateway.refuse("users", key(1), reason: ending == "refused" ? "bad_payload" : nil)
            if ["refused", "synced"].contains(ending) { try await device.engine.syncChanges() }
            if ending == "allowed" { device.allowPendingAtEnd() }
        }
        let found = reports.all.withLock { $0 }
        #expect(found.count == 2)
        #expect(found.first?.contains("users \(key(1)): pending") == true)
        #expect(found.last?.contains("users \(key(1)): rejected bad_payload") == true)
    }

    @Test("Every fault of the network throws an error, loses nothing, and is over when it is over")
    func faults() async throws {
        let faults: [FaultyTransport.Fault] = [
            .dropRequest, .dropAnswer, .truncate(5), .garble { $0.reversed() },
            .status(502, "<html>"), .delay { throw FaultyTransport.ConnectionLost() },
        ]
        for fault in faults {
            let gateway = InMemoryGateway()
            let network = FaultyTransport(gateway)
            let reports = Reports()
            let device = try Self.device(network, reports)
            try await device.engine.syncChanges()
            try await device.database.write {
                try $0.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
            }
            network.always("upload", fault)
            for _ in 1...2 {
                await #expect(throws: SyncError.self) { try await device.engine.sendChanges() }
            }
            #expect(try device.unsyncedRows() == ["users \(key(1)): pending"])
            network.clear()
            let before = network.requestCount
            try await device.engine.sendChanges()
            #expect(network.requestCount == before + 1)
            #expect(try device.unsyncedRows() == [])
            #expect(gateway.log().map(\.version) == [1])
        }
    }
}
