import Foundation
import GRDB
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// What people see of a first sync.
@Suite(.timeLimit(.minutes(1))) struct ProgressTests {
    /// Syncs with a look at the progress before each page's request, and before the end.
    private static func sync(_ device: Device, pages: Int) async throws -> [SyncStatus.Progress?] {
        let seen = Mutex<[SyncStatus.Progress?]>([])
        let engine = device.engine
        for _ in 0..<pages {
            device.gateway.next(
                .download,
                .holdRequest { seen.withLock { $0.append(engine.status.progress) } })
        }
        try await device.sync()
        return seen.withLock { $0 }
    }

    private static func gateway(rows: Int) -> InMemoryGateway {
        let gateway = InMemoryGateway()
        for number in 1...rows { gateway.write("users", key(number), PullTests.user(number)) }
        return gateway
    }

    @Test("a first sync shows its whole extent before the first page, then how much of it is done")
    func firstSync() async throws {
        let device = try Device("one", Self.gateway(rows: 10)) { $0.pageLimit = 4 }
        let seen = try await Self.sync(device, pages: 3)
        #expect(seen.map { $0?.fraction } == [0, 0.4, 0.8])
        #expect(seen.map { $0?.totalUnitCount } == [10, 10, 10])
        #expect(seen.map { $0?.appliedRows } == [0, 4, 8])
        #expect(seen.map { $0?.estimatedRows } == [nil, 10, 10])
        #expect(seen.allSatisfy { $0?.isFirstSync == true })
        #expect(device.engine.status.progress == nil)
    }

    @Test("rows that were replaced before are estimated away, the units stay exact")
    func compacted() async throws {
        let gateway = Self.gateway(rows: 5)
        for _ in 1...5 { gateway.write("users", key(1), PullTests.user(1)) }
        gateway.compact()
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        let seen = try await Self.sync(device, pages: 3)
        #expect(seen.map { $0?.completedUnitCount } == [0, 3, 5])
        #expect(seen.map { $0?.totalUnitCount } == [10, 10, 10])
        #expect(seen.map { $0?.estimatedRows } == [nil, 7, 8])
    }

    @Test("a first sync that was broken off goes on where it was, also in what it shows")
    func relaunch() async throws {
        let device = try Device("one", Self.gateway(rows: 10)) { $0.pageLimit = 4 }
        device.gateway.next(.download, .holdRequest {})
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(device.engine.status.progress == nil)
        try device.reopen()
        let seen = try await Self.sync(device, pages: 2)
        #expect(seen.map { $0?.fraction } == [0.4, 0.8])
        #expect(seen.map { $0?.appliedRows } == [4, 8])
    }

    @Test("an upload shows how many rows are answered, of those to send, and ends with the run")
    func upload() async throws {
        let device = try Device("one", InMemoryGateway()) { $0.uploadLimit = 2 }
        for number in 1...5 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        let seen = try await Self.uploads(device, count: 3)
        #expect(seen.map { $0?.answeredRows } == [0, 2, 4])
        #expect(seen.map { $0?.totalRows } == [5, 5, 5])
        #expect(seen.map { $0?.fraction } == [0, 0.4, 0.8])
        #expect(device.engine.status.uploadProgress == nil)
    }

    @Test("an upload that fails shows no progress, and the next one counts what is left")
    func brokenUpload() async throws {
        let device = try Device("one", InMemoryGateway()) { $0.uploadLimit = 2 }
        for number in 1...5 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        device.gateway.next(.upload, .holdRequest {})
        device.gateway.next(.upload, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(device.engine.status.uploadProgress == nil)
        let seen = try await Self.uploads(device, count: 2)
        #expect(seen.map { $0?.answeredRows } == [0, 2])
        #expect(seen.map { $0?.totalRows } == [3, 3])
    }

    /// Syncs with a look at the progress before each upload's request.
    private static func uploads(
        _ device: Device, count: Int
    ) async throws -> [SyncStatus.UploadProgress?] {
        let seen = Mutex<[SyncStatus.UploadProgress?]>([])
        let engine = device.engine
        for _ in 0..<count {
            device.gateway.next(
                .upload,
                .holdRequest { seen.withLock { $0.append(engine.status.uploadProgress) } })
        }
        try await device.sync()
        return seen.withLock { $0 }
    }

    @Test("a later sync shows the new part alone, and a look that brings nothing shows none")
    func later() async throws {
        let device = try Device("one", Self.gateway(rows: 10)) { $0.pageLimit = 4 }
        try await device.sync()
        for number in 11...16 { device.gateway.write("users", key(number), PullTests.user(number)) }
        let seen = try await Self.sync(device, pages: 2)
        #expect(seen.last??.completedUnitCount == 4 && seen.last??.totalUnitCount == 6)
        #expect(seen.last??.isFirstSync == false)
        #expect(try await Self.sync(device, pages: 1) == [nil])
    }
}
