import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Answers that are not the gateway's, or not the whole of it.
@Suite struct AnswerFaultTests {
    static func portal(status: Int) -> NetworkFault {
        .answerInstead(
            status: status, "<!DOCTYPE html><html><body>Welcome to the airport!</body></html>",
            headers: ["content-type": "text/html; charset=utf-8"])
    }

    static func device(_ network: FaultyTransport, _ gateway: InMemoryGateway) throws -> Device {
        try Device("one", gateway) { $0.transport = network }
    }

    static func isNoAnswer(_ error: (any Error)?) -> Bool {
        guard case .notTheGateway? = error as? SyncError else { return false }
        return true
    }

    /// The length of an answer as it comes when nothing is wrong, without the line's end.
    static func length(
        _ network: FaultyTransport, _ endpoint: GatewayEndpoint, _ run: () async throws -> Void
    )
        async throws -> Int
    {
        let lengths = Lengths()
        network.next(endpoint, .alterAnswer { body in lengths.note(body) })
        try await run()
        return lengths.last - 1
    }

    @Test("A page that ends anywhere is no page: nothing of it is used, and the whole one is later")
    func truncatedPage() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        for number in 1...3 { gateway.write("users", key(number), PullTests.user(number)) }
        let probe = try Device("probe", gateway) { $0.transport = network }
        let length = try await Self.length(network, .download) {
            try await probe.engine.fetchChanges()
        }
        let device = try Self.device(network, gateway)
        for count in 0..<length {
            network.next(.download, .cutAnswer(bytes: count))
            let error = await #expect(throws: SyncError.self) {
                try await device.engine.fetchChanges()
            }
            #expect(Self.isNoAnswer(error), "\(count)")
        }
        #expect(try device.count("SELECT count(*) + sum(cursor) FROM users, _sync_state") == 0)
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 3)
    }

    @Test(
        "An answer to an upload that ends anywhere confirms nothing, and nothing is applied twice")
    func truncatedAnswer() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        let probe = try Device("probe", gateway) { $0.transport = network }
        let insert = "INSERT INTO users (id, name) VALUES ('\(key(1))', 'a'), ('\(key(2))', 'b')"
        try probe.execute(insert.replacing("4000", with: "4001"))
        let length = try await Self.length(network, .upload) { try await probe.sync() }
        let device = try Self.device(network, gateway)
        try await device.sync()
        try device.execute(insert)
        for count in 0..<length {
            network.next(.upload, .cutAnswer(bytes: count))
            let error = await #expect(throws: SyncError.self) {
                try await device.engine.sendChanges()
            }
            #expect(Self.isNoAnswer(error), "\(count)")
        }
        #expect(try device.queue() == ["INSERT|0", "INSERT|0"])
        try await device.sync()
        #expect(try device.queue().isEmpty)
        #expect(gateway.log().map(\.version) == [1, 1, 1, 1])
    }

    @Test("A standing that ends anywhere is no standing, and is asked for again")
    func truncatedStanding() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        let probe = try Device("probe", gateway) { $0.transport = network }
        let length = try await Self.length(network, .bootstrap) { try await probe.sync() }
        let device = try Self.device(network, gateway)
        for count in 0..<length {
            network.next(.bootstrap, .cutAnswer(bytes: count))
            let error = await #expect(throws: SyncError.self) { try await device.sync() }
            #expect(Self.isNoAnswer(error), "\(count)")
        }
        try await device.sync()
        #expect(try device.text("SELECT epoch FROM _sync_state") != nil)
    }

    @Test("A page with a byte that is no text anywhere is no page")
    func garbledPage() async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"ü","age":1}"#)
        let probe = try Device("probe", gateway) { $0.transport = network }
        let length = try await Self.length(network, .download) {
            try await probe.engine.fetchChanges()
        }
        let device = try Self.device(network, gateway)
        for place in 0..<length {
            network.next(
                .download,
                .alterAnswer { body in
                    var body = body
                    if place < body.count { body[place] = 0xFF }
                    return body
                })
            let error = await #expect(throws: SyncError.self) {
                try await device.engine.fetchChanges()
            }
            #expect(Self.isNoAnswer(error), "\(place)")
        }
        try await device.engine.fetchChanges()
        #expect(try device.lines("SELECT name, age FROM users") == ["ü|1"])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test(
        "A captive portal is not the gateway, whatever its status: nothing is believed, lost or blocked",
        arguments: [.bootstrap, .download, .upload] as [GatewayEndpoint],
        [200, 302, 401, 403, 404, 409, 410, 413, 500, 511])
    func captivePortal(endpoint: GatewayEndpoint, status: Int) async throws {
        let gateway = InMemoryGateway()
        let network = FaultyTransport(gateway)
        let device = try Self.device(network, gateway)
        if endpoint != .bootstrap { try await device.sync() }
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        network.always(endpoint, Self.portal(status: status))
        let error = await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(Self.isNoAnswer(error), "\(String(describing: error))")
        var machine = LoopMachine(pollInterval: 30, canPoll: true, backoff: 1...60)
        let next = try machine.failed(#require(error), now: 0, jitter: 1)
        #expect(next == 1, "the loop tries again by itself")
        #expect(
            try device.lines("SELECT reason, op FROM _sync_pending").allSatisfy { $0 == "-|INSERT" }
        )
        network.clearFaults()
        try await device.sync()
        #expect(gateway.log().count == 1)
        #expect(try device.text("SELECT epoch FROM _sync_state") != nil)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test(
        "a Retry-After beyond reason is met within reason",
        arguments: [("-1000", 0), ("9223372036854775807", 86_400), ("soon", nil)])
    func retryAfter(told: String, taken: Int?) async throws {
        let device = try Device()
        device.gateway.next(
            .download, .answerInstead(status: 503, headers: ["retry-after": told]))
        await #expect(throws: SyncError.busy(retryAfter: taken)) { try await device.sync() }
    }

    @Test("a server that contradicts itself is asked again later, not at once and not never")
    func contradiction() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id) VALUES ('\(key(1))')")
        try await device.sync()
        try device.execute("UPDATE users SET name = 'a'")
        let answer = #"{"statuses":[{"status":"invalid","invalid":{"reason":"row_missing"}}]}"#
        for _ in 1...SendRun.barrenAnswers {
            device.gateway.next(
                .upload, .answerInstead(status: 200, answer))
        }
        let sent = try await device.engine.session.send()
        #expect(sent.retryAt == device.engine.session.now + RetrySchedule.soon)
        try await device.sync()
        #expect(device.engine.status.pendingCount == 0)
    }
}

/// The lengths of bodies that went by.
private final class Lengths: Sendable {
    private let lengths = LockedValue<[Int]>([])

    var last: Int { lengths.value.last ?? 0 }

    func note(_ body: [UInt8]) -> [UInt8] {
        lengths.change { $0.append(body.count) }
        return body
    }
}
