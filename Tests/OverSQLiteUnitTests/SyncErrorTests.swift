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
        (.damagedMetadata("_sync_state has no row"), .repairMetadata, false),
        (.deviceUsedUp, .signIn, false),
        (.unreachable("no route"), .wait, true), (.notTheGateway("<html>"), .wait, true),
        (.unauthorized("expired"), .signIn, false), (.noCredentials("no session"), .signIn, true),
        (.busy(retryAfter: 4), .wait, true), (.noProgress(seconds: 130), .wait, true),
        (.refused(status: 500, code: "internal", message: ""), .wait, true),
        (.refused(status: 400, code: "invalid_request", message: "after"), .report, false),
        (.refused(status: 403, code: "device_revoked", message: ""), .signIn, false),
        (.differentUser(owner: "ada", other: "bob"), .signOut, false),
        (.pendingChanges(3, rejected: 1), .settleChanges, false),
        (.database("locked"), .wait, true), (.diskFull, .freeSpace, true),
        (.databaseCorrupt("malformed"), .report, false), (.paused, .resume, false),
        (.databaseClosed, .report, false), (.alreadyRunning, .report, false),
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
            "\(SyncError.busy(retryAfter: 4))" == "the gateway is busy and asks to retry after 4 s")
        #expect(SyncError.unreachable("x").recoverySuggestion?.contains("kept") == true)
        #expect(SyncError.databaseCorrupt("x").recoverySuggestion == nil)
    }

    @Test("one is one, and users are named")
    func words() {
        let one = SyncError.pendingChanges(1, rejected: 0)
        #expect(
            "\(one)"
                == "signing out would lose 1 pending row: sync first, or call signOut(force: true)")
        #expect(one.errorDescription == "One change has not been sent yet.")
        #expect(one.recoverySuggestion == "Wait until everything is sent.")
        let refused = SyncError.pendingChanges(2, rejected: 2)
        #expect(
            "\(refused)".hasPrefix("signing out would lose 2 pending rows, 2 of them rejected: "))
        #expect(refused.recoverySuggestion == "Correct or discard the rejected changes.")
        #expect(
            "\(SyncError.differentUser(owner: "ada", other: "bob"))"
                == "the database belongs to the user ada, not to bob: sign out first")
    }

    @Test(
        "refused credentials are told in the server's words, on one line",
        arguments: [
            (
                #"{"error":"authentication_failed","message":"the token has expired"}\#n"#,
                "the token has expired"
            ),
            (#"{"error":"authentication_failed"}"#, "authentication_failed"),
            ("no\n  entry\n", "no entry"), ("", "status 401"),
        ])
    func unauthorized(body: String, why: String) async throws {
        let device = try Device()
        let answer = TransportResponse(
            status: 401, headers: ["content-type": "application/json"], body: Array(body.utf8))
        // Asked once more, with credentials that the app may have renewed.
        device.gateway.next(.bootstrap, .answerInstead(answer))
        device.gateway.next(.bootstrap, .answerInstead(answer))
        await #expect(throws: SyncError.unauthorized(why)) { try await device.sync() }
    }

    @Test("a view is called a view")
    func view() throws {
        let error = SyncError.unusableTable(
            "Adults", "it is a view and stores no rows: name the tables that it reads")
        #expect(throws: error) {
            try Device(
                schema: "\(postsAndUsers); CREATE VIEW adults AS SELECT * FROM users",
                tables: [SyncTable("Adults")])
        }
        let absent = SyncError.unusableTable(
            "nothing",
            "there is no such table: check the name, and run migrations before making the engine")
        #expect(throws: absent) {
            try Device(tables: [SyncTable("nothing")])
        }
    }

    @Test("a virtual table is called a virtual table")
    func virtualTable() throws {
        let error = SyncError.unusableTable(
            "Found",
            "it is a virtual table, which cannot be synced: name the table that it is built from")
        #expect(throws: error) {
            try Device(
                schema: "\(postsAndUsers); CREATE VIRTUAL TABLE found USING fts5 (title)",
                tables: [SyncTable("Found")])
        }
    }

    @Test("a path that the gateway does not have is named: it is often a wrong address")
    func notFound() async throws {
        let device = try Device { configuration in
            configuration.gateway.append(path: "elsewhere")
        }
        let url = "https://gateway.test/elsewhere/sync/download"
        device.gateway.next(
            .download,
            .answerInstead(
                status: 404, #"{"error":"not_found","message":"There is nothing at this path"}"#,
                headers: ["content-type": "application/json"]))
        await #expect(
            throws: SyncError.refused(
                status: 404, code: "not_found",
                message: "There is nothing at this path: \(url)")
        ) { try await device.engine.fetchChanges() }
        device.gateway.next(
            .download, .answerInstead(status: 404, "404 page not found", headers: [:]))
        await #expect(throws: SyncError.notTheGateway("status 404 from \(url)")) {
            try await device.engine.fetchChanges()
        }
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
