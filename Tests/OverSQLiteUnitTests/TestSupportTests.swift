import Foundation
import GRDB
import OverSQLite
import OverSQLiteTestSupport
import Testing

/// What apps get for their own tests.
@Suite struct TestSupportTests {
    private static let insert = "INSERT INTO users (id) VALUES ('\(key(1))')"

    private static func withDevices(
        _ gateway: any TestTransport, _ body: (TestDevices) async throws -> Void
    ) async throws {
        try await withTestDevices(
            gateway, tables: [SyncTable("users"), SyncTable("posts")],
            migrate: { try $0.write { try $0.execute(sql: postsAndUsers) } }, body)
    }

    /// What the test in `body` is failed with.
    private static func leftovers(
        _ gateway: any TestTransport = InMemoryGateway(),
        _ body: (TestDevices) async throws -> Void
    ) async throws -> [String] {
        do { try await withDevices(gateway, body) } catch let error as TestLeftovers {
            return error.findings
        }
        return []
    }

    private static func write(_ device: TestDevice) async throws {
        try await device.database.write { try $0.execute(sql: insert) }
    }

    // MARK: The scope

    @Test(
        "A test that leaves changes pending or refused fails, one whose changes are sent does not")
    func pendingAtEnd() async throws {
        let pending = try await Self.leftovers { try await Self.write($0.add("one")) }
        #expect(
            pending == ["one has rows that the server has not confirmed: users \(key(1)): pending"])
        let gateway = InMemoryGateway()
        gateway.refuse("users", key(1), reason: "bad_payload")
        let refused = try await Self.leftovers(gateway) { devices in
            let device = try devices.add("one")
            try await Self.write(device)
            try await device.engine.syncChanges()
        }
        #expect(
            refused == [
                "one has rows that the server has not confirmed: "
                    + "users \(key(1)): rejected bad_payload"
            ])
        let synced = try await Self.leftovers { devices in
            let device = try devices.add("one")
            try await Self.write(device)
            try await device.engine.syncChanges()
        }
        #expect(synced == [])
        let allowed = try await Self.leftovers { devices in
            let device = try devices.add("one")
            try await Self.write(device)
            device.allowPendingAtEnd()
        }
        #expect(allowed == [])
    }

    @Test("A helper that keeps only a device's engine or database does not make its check go by")
    func partsOfADevice() async throws {
        func engine(_ devices: TestDevices) throws -> SyncEngine { try devices.add("one").engine }
        func database(_ devices: TestDevices) throws -> DatabaseQueue {
            try devices.add("two").database
        }
        let found = try await Self.leftovers { devices in
            let engine = try engine(devices)
            _ = try await engine.write { try $0.execute(sql: Self.insert) }
            let database = try database(devices)
            try await database.write { try $0.execute(sql: Self.insert) }
        }
        #expect(found.map { String($0.prefix(8)) } == ["one has ", "two has "])
    }

    @Test("Whatever leaves the scope fails when it is used")
    func outOfScope() async throws {
        var devices: TestDevices?
        var device: TestDevice?
        try await Self.withDevices(InMemoryGateway()) {
            devices = $0
            device = try $0.add("one")
        }
        let left = try #require(device)
        await #expect(throws: DatabaseError.self) { try await Self.write(left) }
        await #expect(throws: SyncError.self) { try await left.engine.syncChanges() }
        #expect(throws: TestScopeEnded.self) { try devices?.add("two") }
    }

    @Test("Two devices of one user cannot have one name, two users' devices can")
    func sameName() async throws {
        try await Self.withDevices(InMemoryGateway()) { devices in
            _ = try devices.add("one")
            _ = try devices.add("one", user: "other")
            let error = #expect(throws: TestDeviceTwice.self) { try devices.add("one") }
            #expect(error?.description.hasPrefix("user already has a device named one") == true)
        }
    }

    @Test("What a test throws is thrown, whatever it leaves behind")
    func thrown() async throws {
        await #expect(throws: CancellationError.self) {
            try await Self.withDevices(InMemoryGateway()) { devices in
                try await Self.write(devices.add("one"))
                throw CancellationError()
            }
        }
    }

    // MARK: Plans

    @Test(
        "A planned fault or refusal that nothing met fails the test, until it is met or taken back")
    func unusedPlans() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway.watchable)
        network.next(.download, .captivePortal)
        network.always(.upload, .loseRequest)
        network.always(.any, .cutAnswer(bytes: 1))
        gateway.next(.watch, .loseAnswer)
        gateway.refuse("users", key(1), reason: "bad_payload")
        let found = try await Self.leftovers(network) { _ = try $0.add("one") }
        #expect(
            found == [
                "no request to /sync/download met the fault answerInstead(status: 200)",
                "no request to /sync/upload met the fault loseRequest",
                "no request met the fault cutAnswer",
                "no request to /sync/watch met the fault loseAnswer",
                "no upload had the row users \(key(1)), to be rejected as bad_payload",
            ])
        network.clearFaults()
        gateway.clearFaults()
        #expect(network.unusedPlans.count == 1)
        gateway.refuse("users", key(1), reason: nil)
        #expect(network.unusedPlans == [])
    }

    @Test(
        "A refusal finds its row however its table and its UUID are spelled",
        arguments: [nil, [InMemoryGateway.Table("users")]],
        [UUID().uuidString, UUID().uuidString.lowercased().replacing("-", with: "")])
    func spelledKey(_ tables: [InMemoryGateway.Table]?, key: String) async throws {
        let table = "Users"
        let gateway = InMemoryGateway(tables: tables)
        gateway.refuse(table, key, reason: "bad_payload")
        let device = try Device("one", gateway)
        try device.execute("INSERT INTO users (id) VALUES (lower(?))", [key])
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["bad_payload"])
        #expect(gateway.unusedPlans == [])
        gateway.refuse(table, key, reason: nil)
        try await device.engine.retry(#require(device.engine.rejectedChanges.first))
        try await device.sync()
        #expect(gateway.version(table, key) == 1)
        #expect(gateway.rows(table).count == 1)
    }

    @Test("In a table of text keys a refusal finds only the key as it is written")
    func textKey() async throws {
        let gateway = InMemoryGateway(tables: [.init("users", key: .text)])
        gateway.refuse("users", key(1).replacing("4000", with: "ABCD"), reason: "bad_payload")
        let device = try Device("one", gateway, tables: [SyncTable("users", keyKind: .text)])
        try device.execute(
            "INSERT INTO users (id) VALUES (?)", [key(1).replacing("4000", with: "abcd")])
        try await device.sync()
        #expect(device.engine.status.rejectedCount == 0)
        #expect(gateway.unusedPlans.count == 1)
    }

    // MARK: Faults

    @Test("Every fault of the network throws an error, loses nothing, and is over when it is over")
    func faults() async throws {
        let faults: [NetworkFault] = [
            .loseRequest, .loseAnswer, .cutAnswer(bytes: 5), .alterAnswer { $0.reversed() },
            .captivePortal, .answerInstead(status: 502, "<html>"),
            .holdRequest { throw ConnectionLost() }, .holdAnswer { throw ConnectionLost() },
        ]
        for fault in faults {
            let gateway = InMemoryGateway()
            let network = FaultyTransport(gateway)
            try await Self.withDevices(network) { devices in
                let device = try devices.add("one")
                try await device.engine.syncChanges()
                try await Self.write(device)
                network.always(.upload, fault)
                for _ in 1...2 {
                    await #expect(throws: SyncError.self) { try await device.engine.sendChanges() }
                }
                #expect(try device.unsyncedRows() == ["users \(key(1)): pending"])
                network.clearFaults()
                let before = network.requestCount
                try await device.engine.sendChanges()
                #expect(network.requestCount == before + 1)
                #expect(try device.unsyncedRows() == [])
                #expect(gateway.log().map(\.version) == [1])
            }
        }
    }

    @Test(
        "A stream meets faults as requests do",
        arguments: [
            .loseRequest, .loseAnswer, .captivePortal, .cutAnswer(bytes: 3),
            .alterAnswer { _ in [0x3F] }, .holdRequest { throw ConnectionLost() },
            .holdAnswer { throw ConnectionLost() },
        ] as [NetworkFault])
    func streamFaults(_ fault: NetworkFault) async throws {
        let gateway = InMemoryGateway()
        gateway.write("users", key(1), PullTests.user(1))
        let network = FaultyTransport(gateway.watchable)
        network.next(.watch, fault)
        let url = try #require(URL(string: "https://gateway.test/sync/watch?after=0"))
        let token = InMemoryGateway.token(device: "one")
        let request = TransportRequest(
            method: "GET", url: url, headers: ["Authorization": "Bearer \(token)"])
        #expect(network.canStream)
        let first = try await firstPart(of: network, request)
        switch fault {
        case .cutAnswer: #expect(first == "id:")
        case .alterAnswer: #expect(first == "?")
        case .answerInstead: #expect(first?.hasPrefix("<!DOCTYPE html>") == true)
        default: #expect(first == nil)
        }
        #expect(network.unusedPlans == [])
        #expect(try await firstPart(of: network, request)?.hasPrefix("id: 1\n") == true)
    }

    /// The first part of a stream's body; nil if the connection breaks before.
    private func firstPart(
        of network: FaultyTransport, _ request: TransportRequest
    ) async throws -> String? {
        struct Seen: Error { let text: String }
        do {
            try await network.stream(request) { part in
                guard case .bytes(let bytes) = part else { return }
                throw Seen(text: String(decoding: bytes, as: UTF8.self))
            }
        } catch let seen as Seen { return seen.text } catch is ConnectionLost {}
        return nil
    }
}
