import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Synchronization
import Testing

@testable import OverSQLite

/// How much goes into an upload, and in which form.
@Suite(.timeLimit(.minutes(1))) struct UploadSizeTests {
    private static let blobs = "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, data BLOB)"

    private static func device(
        _ gateway: WatchableGateway, adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) throws -> Device {
        try Device("one", gateway.gateway, schema: blobs, tables: [SyncTable("users")]) {
            $0.transport = gateway
            adjust(&$0)
        }
    }

    private static func insert(_ device: Device, _ number: Int, bytes: Int) throws {
        try device.execute(
            "INSERT INTO users VALUES (?, zeroblob(?))", [key(number), bytes])
    }

    @Test("an upload ends before the row that would make it too large; a large row goes by itself")
    func cut() async throws {
        let gateway = InMemoryGateway().watchable
        let device = try Self.device(gateway) { $0.uploadBytes = 100_000 }
        for (number, bytes) in [1000, 1000, 300_000, 1000, 60_000, 60_000].enumerated() {
            try Self.insert(device, number, bytes: bytes)
        }
        try await device.sync()
        let counts = device.gateway.uploads.map {
            $0.components(separatedBy: "source_change_id").count - 1
        }
        #expect(counts == [2, 1, 2, 1])
        #expect(device.gateway.rows("users").count == 6)
    }

    @Test("a BLOB that the gateway takes in no way steps aside, is told of, and stops nobody")
    func oversize() async throws {
        let gateway = InMemoryGateway().watchable
        gateway.limitBodies(to: 200_000)
        let device = try Self.device(gateway)
        let events = device.engine.events
        for number in 1...30 {
            try Self.insert(device, number, bytes: number == 7 ? 900_000 : 9000)
        }
        try await device.sync()
        #expect(device.gateway.rows("users").count == 29)
        let rejected = try await device.engine.rejectedChanges
        #expect(rejected.map(\.key) == [key(7)] && rejected.map(\.reason) == ["too_large"])
        #expect(await firstEvent(events, unless: device) == .rejected(try #require(rejected.first)))
        try device.execute("UPDATE users SET data = x'00' WHERE id = ?", [key(7)])
        try await device.sync()
        #expect(device.gateway.rows("users").count == 30)
    }

    @Test("a limit that was met once is kept to, so that no second body is sent in vain")
    func learned() async throws {
        let gateway = InMemoryGateway().watchable
        gateway.limitBodies(to: 100_000)
        let device = try Self.device(gateway)
        for number in 1...20 { try Self.insert(device, number, bytes: 10_000) }
        try await device.sync()
        let first = gateway.uploadEncodings.count
        for number in 21...40 { try Self.insert(device, number, bytes: 10_000) }
        try await device.sync()
        #expect(device.gateway.rows("users").count == 40)
        #expect(gateway.uploadEncodings.count - first < first)
    }

    @Test("a row made smaller while it was refused as too large is sent in the same run")
    func shrunkInFlight() async throws {
        let gateway = InMemoryGateway()
        let refusing = RefusingOnce(gateway)
        let device = try Device("one", gateway, schema: Self.blobs, tables: [.init("users")]) {
            $0.transport = refusing
        }
        try await device.sync()
        try Self.insert(device, 1, bytes: 2000)
        refusing.setNext(device.writing("UPDATE users SET data = x'00'"))
        try await device.sync()
        #expect(gateway.rows("users")[key(1)]?.contains("AA==") == true)
        #expect(try await device.engine.rejectedChanges.isEmpty)
    }

    /// Answers one upload with 413, after something has happened.
    private final class RefusingOnce: HTTPTransport {
        private let gateway: InMemoryGateway
        private let before = Mutex<(@Sendable () async throws -> Void)?>(nil)

        init(_ gateway: InMemoryGateway) { self.gateway = gateway }

        func setNext(_ happening: @escaping @Sendable () async throws -> Void) {
            before.withLock { $0 = happening }
        }

        func send(_ request: TransportRequest) async throws -> TransportResponse {
            guard request.url.path.hasSuffix("upload"),
                let happening = before.withLock({ happening in
                    defer { happening = nil }
                    return happening
                })
            else { return try await gateway.send(request) }
            try await happening()
            return TransportResponse(status: 413)
        }
    }

    @Test("large uploads are compressed where the gateway takes gzip, and answers are read from it")
    func gzip() async throws {
        let gateway = InMemoryGateway().watchable
        gateway.offer(["gzip"])
        let device = try Self.device(gateway)
        try Self.insert(device, 1, bytes: 100)
        try await device.sync()
        try Self.insert(device, 2, bytes: 20_000)
        try await device.sync()
        #expect(gateway.uploadEncodings == ["identity", "gzip"])
        #expect(device.gateway.rows("users").count == 2)
        let other = try Device("two", gateway.gateway, schema: Self.blobs, tables: [.init("users")])
        {
            $0.transport = gateway
        }
        try await other.sync()
        #expect(try other.count("SELECT sum(length(data)) FROM users") == 20_100)
    }

    @Test(
        "bodies go as they are where gzip is not offered, or is refused after all",
        arguments: [["watch"], ["gzip"]])
    func noGzip(_ features: [String]) async throws {
        let gateway = InMemoryGateway().watchable
        gateway.offer(features)
        let device = try Self.device(gateway)
        try await device.sync()
        _ = try await device.engine.session.capabilities()
        gateway.offer([])
        for number in 1...2 {
            try Self.insert(device, number, bytes: 20_000)
            try await device.sync()
        }
        #expect(device.gateway.rows("users").count == 2)
        #expect(gateway.uploadEncodings.suffix(2) == ["identity", "identity"])
    }

    @Test(
        "a batch that took too long is sent in halves, which stay small for a while",
        arguments: ["timeout", "deadline_exceeded"])
    func late(_ code: String) async throws {
        let gateway = InMemoryGateway().watchable
        let device = try Self.device(gateway)
        for number in 1...8 { try Self.insert(device, number, bytes: 10) }
        device.gateway.next(
            .upload,
            .answerInstead(
                status: 503, #"{"error":"\#(code)","message":"it took too long"}"#,
                headers: ["retry-after": "1"]))
        await #expect(throws: SyncError.busy(retryAfter: 1)) {
            try await device.engine.syncChanges()
        }
        #expect(device.engine.session.pacer.withLock { $0.limit } == 4)
        try await device.sync()
        #expect(device.engine.session.pacer.withLock { $0.limit } == 4)
        #expect(device.gateway.rows("users").count == 8)
    }

    @Test("another 503 leaves the batch as large as it is")
    func busy() async throws {
        let gateway = InMemoryGateway().watchable
        let device = try Self.device(gateway)
        let limit = device.engine.session.pacer.withLock { $0.limit }
        for number in 1...8 { try Self.insert(device, number, bytes: 10) }
        device.gateway.next(
            .upload, .answerInstead(status: 503, #"{"error":"unavailable","message":"busy"}"#))
        await #expect(throws: SyncError.busy(retryAfter: nil)) {
            try await device.engine.syncChanges()
        }
        #expect(device.engine.session.pacer.withLock { $0.limit } == limit)
    }

    @Test("after a deadline the number of changes grows again with the ninth answer")
    func growth() {
        var pacer = BatchPacer(largest: 200)
        pacer.shrink(late: 200)
        #expect(pacer.limit == 100)
        for _ in 1...8 { pacer.grow() }
        #expect(pacer.limit == 100)
        pacer.grow()
        #expect(pacer.limit == 200)
        pacer.shrink(late: 1)
        #expect(pacer.limit == 1)
    }

    @Test("limits that the gateway tells are kept to, and never raise the app's own")
    func toldLimits() {
        var pacer = BatchPacer(largest: 200, bytes: 4000)
        pacer.keep(within: .init(changesPerUpload: 1000, bytesPerBody: 100_000))
        #expect(pacer.limit == 200 && pacer.bytes == 4000)
        pacer.keep(within: .init(changesPerUpload: 50, bytesPerBody: 2000))
        #expect(pacer.limit == 50 && pacer.bytes < 2000)
        pacer.shrink(sent: 50)
        for _ in 1...5 { pacer.grow() }
        #expect(pacer.limit == 50)
        pacer.keep(within: .init(changesPerUpload: nil, bytesPerBody: 0))
        #expect(pacer.bytes == 1)
        pacer.keep(within: .init(changesPerUpload: .min, bytesPerBody: .min))
        #expect(pacer.limit == 1 && pacer.bytes == 1)
    }

    @Test("gzip gives back what went in, of any size, and nil for what is cut or too much")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 7)
        for size in [0, 1, 65_535, 65_536, 65_537, 300_000] {
            for isRandom in [true, false] {
                let bytes = (0..<size).map { index in
                    isRandom ? UInt8.random(in: 0...255, using: &generator) : UInt8(index % 7)
                }
                let packed = try #require(Gzip.deflate(bytes))
                #expect(Gzip.isMember(packed))
                #expect(Gzip.inflate(packed, limit: size) == bytes)
                #expect(Gzip.inflate(Array(packed.dropLast()), limit: size) == nil)
                if size > 0 { #expect(Gzip.inflate(packed, limit: size - 1) == nil) }
            }
        }
        #expect(Gzip.inflate(Array("<html>".utf8), limit: 100) == nil)
    }
}
