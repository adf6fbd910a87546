import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// A server that answers anything: the device's process goes on, says what is wrong, and keeps what
/// was not sent.
@Suite(.timeLimit(.minutes(10))) struct AnswerFuzzTests {
    /// An exchange, and which of its answers is altered.
    enum Scene: String, CaseIterable, Sendable {
        case bootstrap, capabilities, firstPage, laterPage, ownPage, applied, conflict
        case totals, buckets, listedRows, rows

        var endpoint: GatewayEndpoint {
            switch self {
            case .bootstrap: .bootstrap
            case .capabilities: .capabilities
            case .firstPage, .laterPage, .ownPage: .download
            case .applied, .conflict: .upload
            case .totals, .buckets, .listedRows: .digest
            case .rows: .rows
            }
        }

        /// The answers to the endpoint before the one that is altered.
        var before: Int {
            switch self {
            case .buckets: 1
            case .listedRows: 2
            case .laterPage: 1
            default: 0
            }
        }
    }

    /// What comes before the exchange. All that is sent meanwhile goes to the gateway as it is.
    private func device(_ scene: Scene) async throws -> (FuzzedDevice, AlteringTransport) {
        let gateway = InMemoryGateway()
        for number in 1...2 {
            gateway.write("users", key(number), PullTests.user(number))
        }
        let transport = AlteringTransport(gateway, scene.endpoint, after: scene.before)
        let device = try FuzzedDevice(gateway, transport)
        switch scene {
        case .bootstrap, .capabilities, .firstPage: break
        case .laterPage:
            try await device.engine.fetchChanges()
            for number in 1...3 { gateway.write("users", key(number), PullTests.user(7)) }
            gateway.write("users", key(2), nil)
        case .ownPage:
            // The device's own change, whose answer was lost, comes as news.
            gateway.write("users", FuzzedDevice.edited, PullTests.user(9), device: "one")
        case .applied: break
        case .conflict:
            gateway.write("users", FuzzedDevice.edited, PullTests.user(9))
        case .totals, .buckets, .listedRows, .rows:
            try await device.engine.fetchChanges()
            try device.execute(
                "UPDATE _sync_rows SET version = 0, term = 1 WHERE key = ?", [key(1)])
        }
        try device.edit()
        return (device, transport)
    }

    private func exchange(_ scene: Scene, _ device: FuzzedDevice) async throws {
        switch scene {
        case .bootstrap, .capabilities: try await device.engine.syncChanges()
        case .firstPage, .laterPage, .ownPage: try await device.engine.fetchChanges()
        case .applied, .conflict: try await device.engine.sendChanges()
        case .totals, .buckets, .listedRows, .rows: _ = try await device.engine.verify()
        }
    }

    /// Runs the exchange with one altered answer, then without, and says what went wrong.
    private func meet(
        _ scene: Scene, _ alteration: @escaping AlteringTransport.Alteration
    ) async throws -> String? {
        let (device, transport) = try await device(scene)
        transport.alter(alteration)
        do { try await exchange(scene, device) } catch is SyncError {} catch {
            return "threw \(type(of: error)): \(error)"
        }
        guard try device.hasEdit() else { return "lost the edit" }
        _ = try await device.engine.rejectedChanges
        _ = try await device.engine.heldRows
        transport.alter(nil)
        var last: (any Error)?
        for _ in 1...3 {
            do {
                try await device.engine.syncChanges()
                last = nil
                break
            } catch let error as SyncError { last = error } catch {
                return "threw \(type(of: error)) afterwards: \(error)"
            }
        }
        guard try device.hasEdit() else { return "lost the edit afterwards" }
        return last.map { "is stuck with \($0)" }
    }

    /// The answer of the scene as it is.
    private func answer(_ scene: Scene) async throws -> [UInt8] {
        let (device, transport) = try await device(scene)
        try await exchange(scene, device)
        return try #require(transport.answer, "\(scene) asks for no such answer")
    }

    @Test(
        "Any value in an answer ends in an error of its kind at most, and the edit stays",
        arguments: Scene.allCases)
    func values(scene: Scene) async throws {
        let tree = try #require(AnswerTree(try await answer(scene)))
        for (name, text) in tree.altered(by: AnswerTree.strange) {
            let flaw = try await meet(scene) { $0.body = Array(text.utf8) }
            if let flaw { Issue.record("\(scene)\(name.prefix(100)) \(flaw)") }
        }
    }

    @Test(
        "So does one that is cut short, garbled, or of another kind",
        arguments: Scene.allCases)
    func bytes(scene: Scene) async throws {
        var random = SeededGenerator(seed: 23)
        let body = try await answer(scene)
        for _ in 1...12 {
            let count = Int.random(in: 0..<body.count, using: &random)
            let byte = UInt8.random(in: 0...255, using: &random)
            let kind = ["text/plain", "text/html", "application/x-protobuf"]
                .randomElement(using: &random)
            let alterations: [AlteringTransport.Alteration] = [
                { $0.body = Array($0.body.prefix(count)) }, { $0.body[count] = byte },
                { $0.headers["content-type"] = kind },
                { $0.headers["content-encoding"] = "gzip" },
                {
                    $0.headers["content-encoding"] = "gzip"
                    $0.body = [0x1F, 0x8B, 8, 0] + Array($0.body.prefix(count))
                },
            ]
            for (number, alteration) in alterations.enumerated() {
                let flaw = try await meet(scene, alteration)
                if let flaw { Issue.record("\(scene) \(number) \(count) \(byte) \(flaw)") }
            }
        }
    }

    @Test(
        "So does any header",
        arguments: [
            ("oversync-history", "9223372036854775807-ffffffffffffffff"),
            ("oversync-history", "9007199254740991-0000000000000001"),
            ("oversync-history", "-1-0000000000000001"), ("oversync-history", "1-"),
            ("retry-after", "9223372036854775807"), ("retry-after", "-9223372036854775808"),
            ("date", "Sun, 06 Nov 1994 9223372036854775807:00:00 GMT"),
            ("date", "Sun, 06 Nov 9999 23:59:60 GMT"), ("date", "Sun, -1 Nov 1994 0:0:0 GMT"),
            ("date", "Sun, 06 Nov 9223372036854775807 00:00:00 GMT"),
        ], [Scene.bootstrap, .firstPage, .applied, .totals])
    func headers(header: (name: String, value: String), scene: Scene) async throws {
        for status in [200, 429, 503, 500] {
            let flaw = try await meet(scene) {
                $0.headers[header.name] = header.value
                $0.status = status
            }
            if let flaw { Issue.record("\(scene) \(header) \(status) \(flaw)") }
        }
    }

    @Test("A window that ends beyond reason does not make the estimate of its rows a trap")
    func progress() {
        var progress = SyncStatus.Progress()
        (progress.appliedRows, progress.completedUnitCount) = (5000, 1)
        progress.totalUnitCount = ProtocolNumber.maximum
        #expect(progress.estimatedRows == .max)
    }

    @Test("A number beyond the protocol's bounds is named with its bound")
    func bounds() async throws {
        let device = try Device()
        device.gateway.next(
            .download,
            .answerInstead(
                status: 200,
                #"{"changes":[],"has_more":false,"next_after":9007199254740992,"window_until":0}"#))
        let error = await #expect(throws: SyncError.self) {
            try await device.engine.fetchChanges()
        }
        #expect(
            "\(try #require(error))".contains(
                "next_after is 9007199254740992: it must be between 0 and 9007199254740991"))
    }

    @Test("A change id that an older server took of another device keeps no page from being read")
    func foreignChangeID() async throws {
        let device = try Device()
        let change = """
            {"server_id":1,"schema":"business","table":"users","op":"INSERT","pk":"\(key(1))",\
            "payload":\(PullTests.user(1)),"server_version":1,"deleted":false,"source_id":"one",\
            "source_change_id":9223372036854775807,"ts":"2026-01-01T00:00:00Z"}
            """
        device.gateway.next(
            .download,
            .answerInstead(
                status: 200,
                #"{"changes":[\#(change)],"has_more":false,"next_after":1,"window_until":1}"#))
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 1)
        try device.reopen()
        #expect(try device.count("SELECT next_change_id FROM _sync_state") == 1)
    }

    @Test("where the highest change number was sent, the error says so, and the edits stay")
    func usedUp() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute("UPDATE _sync_state SET next_change_id = 9007199254740991")
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'the last')")
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(2))', 'one more')")
        for _ in 1...2 {
            await #expect(throws: SyncError.deviceUsedUp) { try await device.sync() }
            #expect(try device.count("SELECT count(*) FROM users") == 2)
            #expect(device.engine.status.pendingCount == 1)
        }
        try device.reopen()
        await #expect(throws: SyncError.deviceUsedUp) { try await device.sync() }
        #expect(device.engine.status.pendingCount == 1)
    }
}
