import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What an engine says about itself to people who help.
@Suite struct ReportTests {
    @Test("a report names what is pending, rejected and held, with reasons and advice")
    func causes() async throws {
        let device = try Device()
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        device.gateway.write("posts", key(2), PullTests.post(2, of: 9))
        try device.execute("INSERT INTO users VALUES (?, 'secret name', 7)", [key(1)])
        try await device.sync()
        let report = try await device.engine.report()
        for part in [
            "gateway       https://gateway.test", "schema        business",
            "user          user", "device        one", "not synced",
            "pending       1, of them rejected 1", "held          1",
            "users: 1 rows, 0 known to the server, 1 pending (1 rejected), 0 held",
            "users \(key(1)): bad_payload", "posts \(key(2)): missing_parent",
            "advice: the row \(key(9)) of users is needed", "POST  /sync/upload  200",
        ] {
            #expect(report.contains(part), "\(part) is not in:\n\(report)")
        }
    }

    @Test("neither a report nor a bundle has a token or values of rows")
    func secrets() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users VALUES (?, 'secret name', 7)", [key(1)])
        try await device.sync()
        device.gateway.expire(InMemoryGateway.token(user: "user", device: "one"))
        try? await device.sync()
        let bundle = try await device.engine.supportBundle()
        #expect(Set(bundle.files.keys) == ["report.txt", "schema.sql", "metadata.txt"])
        let token = InMemoryGateway.token(user: "user", device: "one")
        for (name, text) in bundle.files {
            #expect(!text.contains("secret name") && !text.contains(token), "\(name): \(text)")
        }
        #expect(bundle.files["schema.sql"]?.contains("CREATE TRIGGER") == true)
        #expect(bundle.files["metadata.txt"]?.contains("_sync_rows: 1 rows") == true)
        #expect(bundle.files["report.txt"]?.contains("advice: signIn") == true)
    }

    @Test("a bundle is written into a folder that is not there yet, and again over itself")
    func files() async throws {
        let device = try Device()
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "bundle-\(UUID().uuidString)/support")
        defer { try? FileManager.default.removeItem(at: folder.deletingLastPathComponent()) }
        for _ in 0..<2 {
            let bundle = try await device.engine.supportBundle()
            try bundle.write(to: folder)
            let written = try String(
                contentsOf: folder.appending(path: "report.txt"), encoding: .utf8)
            #expect(written == bundle.files["report.txt"])
        }
    }

    @Test("of many rows a report lists some, and says how many more there are")
    func many() async throws {
        let device = try Device()
        for number in 1...25 {
            device.gateway.write("posts", key(number), PullTests.post(number, of: 99))
        }
        try await device.sync()
        let report = try await device.engine.report()
        #expect(report.contains("held          25") && report.contains("and 5 more"), "\(report)")
    }

    @Test("the last requests are kept, and no more")
    func journal() {
        let journal = RequestJournal()
        for number in 0..<(RequestJournal.capacity + 7) {
            journal.append(
                RequestJournal.Entry(
                    began: Date(timeIntervalSince1970: 0), method: "GET", path: "/\(number)",
                    status: nil, milliseconds: 1, sentBytes: 0, receivedBytes: 0, requestID: nil,
                    error: "offline"))
        }
        #expect(journal.entries.count == RequestJournal.capacity)
        #expect(journal.entries.first?.path == "/7")
        #expect(
            journal.entries.last?.text.hasSuffix(
                "no response  1 ms  sent 0 B  received 0 B  offline") == true)
    }
}
