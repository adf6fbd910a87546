import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Tokens

/// One device of the load: its token and its place in its own data.
struct LoadDevice: Sendable {
    let user: String
    let device: String
    let token: String

    /// Where the keys of its rows begin: its own for each user and device.
    var seed: UInt64 {
        (user + "/" + device).utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
    }

    init(user: String, device: String, mint: TokenMint) async throws {
        self.user = user
        self.device = device
        let claims = DeviceClaims(
            user: user, device: device, issuer: "oversync", audience: "oversync",
            now: Int(Date().timeIntervalSince1970), lifetime: TokenMint.maximumLifetimeSeconds)
        token = try await mint.sign(claims)
    }

    func request(_ url: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        return request
    }
}

/// Bodies of uploads: authors, and posts that point to them.
enum LoadBody {
    /// - Parameters:
    ///   - first: the first change id.
    ///   - count: changes; one in ten is an author, the rest are posts of that author.
    static func inserts(first: Int, count: Int) -> [UInt8] {
        var json = #"{"last_server_seq_seen":0,"changes":["#
        var author = ""
        for index in 0..<count {
            if index > 0 { json += "," }
            let key = UUID().uuidString.lowercased()
            let isAuthor = index % 10 == 0
            if isAuthor { author = key }
            let table = isAuthor ? "users" : "posts"
            let payload =
                isAuthor
                ? #"{"id":"\#(key)","name":"Author \#(first + index)","email":"\#(key)@example.org"}"#
                : #"{"id":"\#(key)","author_id":"\#(author)","title":"Post \#(first + index)","content":"#
                    + #""A few words that stand for what people write when they write a post of some length."}"#
            json +=
                #"{"source_change_id":\#(first + index),"schema":"business","table":"\#(table)","#
                + #""op":"INSERT","pk":"\#(key)","server_version":0,"payload":\#(payload)}"#
        }
        return Array((json + "]}").utf8)
    }
}
