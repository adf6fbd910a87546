import HTTPTypes
import Hummingbird
import HummingbirdCore
import Testing

@testable import Gateway

/// Which form and which encoding a caller gets.
struct NegotiationTests {
    private func request(_ headers: HTTPFields) -> Request {
        Request(
            head: HTTPRequest(
                method: .get, scheme: "https", authority: "h", path: "/", headerFields: headers),
            body: RequestBody(buffer: .init()))
    }

    @Test(arguments: [
        ("gzip", true), ("deflate, GZIP;q=0.5", true), ("*", true), ("x-gzip", true),
        ("br;q=1, *;q=0.1", true), ("gzip;q=0", false), ("gzip;q=0, *", false), ("", false),
        ("identity", false), ("gzippy", false), ("*;q=0", false),
    ])
    func `gzip is used where it is named with a weight`(header: String, isAccepted: Bool) {
        #expect(request([.acceptEncoding: header]).acceptsGzip == isAccepted)
    }

    @Test func `no header, no compression`() {
        #expect(!request([:]).acceptsGzip)
    }

    @Test(arguments: [
        ("application/x-protobuf", BodyType.protobuf),
        ("Application/X-Protobuf; charset=binary", .protobuf), ("application/json", .json),
        ("text/plain", .json), ("", .json),
    ])
    func `a body is protobuf only when it says so`(header: String, type: BodyType) {
        #expect(BodyType(contentType: header) == type)
        #expect(BodyType(accept: header) == type)
        #expect(BodyType(contentType: nil) == .json && BodyType(accept: nil) == .json)
    }

    @Test func `of several forms protobuf is taken`() {
        #expect(BodyType(accept: "application/json, application/x-protobuf") == .protobuf)
    }

    @Test func `an epoch is a uuid or absent`() throws {
        let epoch = "0B0E7C0E-9D4C-4B5A-8F3E-2A7C6D5E4F3A"
        #expect(try request([.epoch: epoch]).epoch == epoch.lowercased())
        #expect(try request([:]).epoch == "")
        let error = #expect(throws: WireError.self) { try request([.epoch: "7"]).epoch }
        #expect(error?.message.contains("Oversync-Epoch") == true)
    }

    @Test("A watch outlives no token, and no token lets it last beyond what a clock can count")
    func lifeOfWatches() {
        #expect(WatchRoute.life(until: 130, now: 100) == .seconds(30))
        #expect(WatchRoute.life(until: 90, now: 100) == .zero)
        for expires in [1e12, 1e20, 1e300, .greatestFiniteMagnitude] {
            #expect(WatchRoute.life(until: expires, now: 0) == .seconds(365 * 86_400))
        }
    }

    @Test func `an event is what EventSource reads`() {
        #expect(
            WatchEvent.head(7).text
                == "id: 7\nevent: change\ndata: {\"highest_server_seq\":7}\n\n")
        #expect(WatchEvent.comment.text.hasPrefix(":") && WatchEvent.comment.text.hasSuffix("\n\n"))
    }
}
