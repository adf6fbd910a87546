import Foundation
import NIOCore
import OperatorKit
import Testing
import Tokens
@testable import Bench

@Suite struct LoadTests {
    private static func device() async throws -> LoadDevice {
        try await LoadDevice(
            user: "user", device: "device", mint: TokenMint(hs256: "a secret of the test's own"))
    }

    /// The members of each change of an upload, as text.
    private static func changes(_ request: ByteBuffer) throws -> [[String: String]] {
        var framer = String(buffer: request)
        let end = try #require(framer.range(of: "\r\n\r\n"))
        let head = String(framer[..<end.lowerBound])
        framer.removeSubrange(..<end.upperBound)
        #expect(head.contains("content-length: \(framer.utf8.count)"))
        let changes = try #require(framer.firstMatch(of: /"changes":\[(.*)\]/)?.1)
        return changes.split(separator: "},{").map { change in
            var members: [String: String] = [:]
            for match in change.matches(of: /"([a-z_]+)":\s*("[^"]*"|[0-9]+)/) {
                members[String(match.1)] = String(match.2.filter { $0 != "\"" })
            }
            return members
        }
    }

    @Test(
        "Inserts have fresh keys and ids from request to request, and posts name an author of theirs"
    )
    func inserts() async throws {
        var source = UploadSource(try await Self.device(), .inserts, changes: 20)
        let first = try Self.changes(source.next())
        let second = try Self.changes(source.next())
        #expect(first.count == 20)
        #expect((first + second).compactMap { $0["source_change_id"] } == (1...40).map(String.init))
        #expect(Set((first + second).compactMap { $0["pk"] }).count == 40)
        #expect(first.allSatisfy { $0["op"] == "INSERT" && $0["server_version"] == "0" })
        #expect(first[0]["table"] == "users")
        #expect(first[11]["author_id"] == first[10]["pk"])
        #expect(first[19]["author_id"] == first[10]["pk"])
    }

    @Test("Updates write every row once on each version, after all were made")
    func updates() async throws {
        var source = UploadSource(try await Self.device(), .updates, changes: 10)
        let rounds = UploadSource.updatedRequests
        let made = try (0..<rounds).flatMap { _ in try Self.changes(source.next()) }
        let first = try (0..<rounds).flatMap { _ in try Self.changes(source.next()) }
        let second = try Self.changes(source.next())
        #expect(first.map { $0["pk"] } == made.map { $0["pk"] })
        #expect(first.allSatisfy { $0["op"] == "UPDATE" && $0["server_version"] == "1" })
        #expect(second.allSatisfy { $0["server_version"] == "2" })
    }

    @Test("Deletes take away what the request before has made")
    func deletes() async throws {
        var source = UploadSource(try await Self.device(), .deletes, changes: 20)
        let made = try Self.changes(source.next())
        let next = try Self.changes(source.next())
        #expect(made.count == 10)
        let deleted = next.filter { $0["op"] == "DELETE" }
        #expect(deleted.map { $0["pk"] } == made.map { $0["pk"] })
        #expect(deleted.allSatisfy { $0["server_version"] == "1" })
        #expect(next.filter { $0["op"] == "INSERT" }.count == 10)
    }

    @Test("An answer that does not apply what was sent is an error, not a measurement")
    func refusal() async throws {
        var source = UploadSource(try await Self.device(), .conflicts, changes: 2)
        _ = source.next()
        _ = source.next()
        func take(_ text: String) throws -> Int {
            try ByteBuffer(string: text).withUnsafeReadableBytes { try source.take($0) }
        }
        let good =
            #"{"highest_server_seq":77,"statuses":[{"status":"applied"},{"status":"conflict"}]}"#
        #expect(try take(good) == 2)
        #expect(source.head == 77)
        #expect(throws: StackError.self) { try take(good.replacing("conflict", with: "invalid")) }
    }

    @Test(
        "A reader follows the cursor to the end and begins anew; a page that lacks rows is an error"
    )
    func pages() async throws {
        var source = PageSource(try await Self.device(), limit: 2)
        func page(_ rows: Int, more: Bool, next: Int) throws -> Int {
            let row = #"{"server_id":1}"#
            let text =
                #"{"changes":["# + Array(repeating: row, count: rows).joined(separator: ",")
                + #"],"has_more":\#(more),"next_after":\#(next),"window_until":3}"#
            return try ByteBuffer(string: text).withUnsafeReadableBytes { try source.take($0) }
        }
        #expect(throws: StackError.self) { try page(1, more: true, next: 2) }
        #expect(try page(2, more: true, next: 2) == 2)
        #expect(String(buffer: source.next()).hasPrefix("GET /sync/download?after=2&limit=2&"))
        #expect(try page(1, more: false, next: 3) == 1)
        #expect(String(buffer: source.next()).hasPrefix("GET /sync/download?after=0&"))
    }

    @Test("Answers are cut out of the bytes wherever these are split")
    func framing() throws {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello"
            + "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n"
        for size in 1...text.utf8.count {
            var framer = ResponseFramer()
            var found: [String] = []
            var bytes = ByteBuffer(string: text)
            while bytes.readableBytes > 0 {
                let slice = bytes.readSlice(length: min(size, bytes.readableBytes))
                let part = try #require(slice)
                framer.append(part)
                while let response = try framer.next() {
                    found.append("\(response.status) \(String(buffer: response.body))")
                }
            }
            #expect(found == ["200 hello", "404 "])
        }
    }

    @Test(
        "Bytes that are no answer with a length are refused",
        arguments: [
            "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            String(repeating: "x", count: ResponseFramer.maximumHead),
        ])
    func noAnswer(_ text: String) {
        var framer = ResponseFramer()
        framer.append(ByteBuffer(string: text))
        #expect(throws: StackError.self) { try framer.next() }
    }
}
