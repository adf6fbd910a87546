import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What errors tell the app and its user.
@Suite(.timeLimit(.minutes(1))) struct SyncErrorTests {
    /// One error of each kind, what it advises, and whether the loop goes on by itself.
    static let all: [(SyncError, SyncError.Advice, retries: Bool)] = [
        (.unusableTable("t", "no key"), .fixSchema, false),
        (.newerMetadata(format: 9), .updateApp, false),
        (.unreachable("no route"), .wait, true), (.notTheGateway("<html>"), .wait, true),
        (.unauthorized("expired"), .signIn, false), (.noCredentials("no session"), .signIn, true),
        (.busy(retryAfter: 4), .wait, true), (.noProgress(seconds: 130), .wait, true),
        (.refused(status: 500, code: "internal", message: ""), .wait, true),
        (.refused(status: 400, code: "invalid_request", message: "after"), .report, false),
        (.refused(status: 403, code: "device_revoked", message: ""), .signIn, false),
        (.differentUser, .signOut, false), (.pendingChanges(3, rejected: 1), .settleChanges, false),
        (.database("locked"), .wait, true), (.diskFull, .freeSpace, true),
        (.databaseCorrupt("malformed"), .report, false), (.paused, .resume, false),
        (.stopped, .resume, false),
    ]

    @Test("each error advises, and the loop tries again exactly where the error says so")
    func advice() {
        for (error, advice, retries) in Self.all {
            #expect(error.advice == advice, "\(error)")
            #expect(error.retriesByItself == retries, "\(error)")
            var machine = LoopMachine(pollInterval: 30, canPoll: true, backoff: 1...60)
            #expect((machine.failed(error, now: 0, jitter: 1) != nil) == retries, "\(error)")
        }
    }

    @Test("people read a sentence, logs the details")
    func texts() {
        for (error, _, _) in Self.all {
            let sentence = error.localizedDescription
            #expect(sentence.hasSuffix(".") && sentence.first?.isLowercase == false, "\(sentence)")
            #expect(error.failureReason == "\(error)")
        }
        #expect(Set(Self.all.map { "\($0.0)" }).count == Self.all.count)
        #expect(
            "\(SyncError.busy(retryAfter: 4))" == "the gateway is busy, for 4 s by its own account")
        #expect(SyncError.unreachable("x").recoverySuggestion?.contains("kept") == true)
        #expect(SyncError.databaseCorrupt("x").recoverySuggestion == nil)
    }

    @Test("SQLite's errors come out by what can be done about them")
    func database() {
        #expect(SyncError(DatabaseError(resultCode: .SQLITE_FULL)) == .diskFull)
        #expect(SyncError(DatabaseError(resultCode: .SQLITE_NOTADB)).advice == .report)
        #expect(SyncError(DatabaseError(resultCode: .SQLITE_BUSY)).advice == .wait)
        #expect(SyncError(DatabaseError(resultCode: .SQLITE_CORRUPT_INDEX)).advice == .report)
    }

    @Test("a database with no room left keeps the cursor, says so, and syncs once there is room")
    func diskFull() async throws {
        let device = try Device()
        try await device.sync()
        let cursor = try device.count("SELECT cursor FROM _sync_state")
        let long = String(repeating: "x", count: 400_000)
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"\#(long)","age":1}"#)
        try device.execute("PRAGMA max_page_count = 40")
        await #expect(throws: SyncError.diskFull) { try await device.sync() }
        #expect(device.engine.status.lastError == .diskFull)
        #expect(try device.count("SELECT cursor FROM _sync_state") == cursor)
        try device.execute("PRAGMA max_page_count = 1000000")
        try await device.sync()
        #expect(try device.count("SELECT length(name) FROM users") == 400_000)
        #expect(device.engine.status.lastError == nil)
    }
}
