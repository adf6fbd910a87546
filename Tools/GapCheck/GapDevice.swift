import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Tokens
import Waiting

/// One device of a user, as the gateway knows it. It asks until it is answered, as devices do.
struct GapDevice: Sendable {
    private static let tokenSeconds = 43_200
    /// For the head of one answer; a long poll may take its `wait` more.
    static let timeout: TimeAmount = .seconds(30)
    /// The pauses before a request is sent again.
    private static let backoff = Backoff(first: .milliseconds(20), longest: .milliseconds(500))
    /// A page of a thousand rows is a third of that.
    private static let maximumBodyBytes = 1 << 20

    let name: String
    let progress: GapProgress
    let gateway: String
    private let client: HTTPClient
    let token: String

    init(
        user: String, name: String, stack: StackAddress, client: HTTPClient, mint: TokenMint,
        progress: GapProgress
    ) async throws {
        self.name = name
        self.progress = progress
        self.client = client
        gateway = stack.gateway
        token = try await mint.sign(
            DeviceClaims(
                user: user, device: name, issuer: "oversync", audience: "oversync",
                now: Int(Date().timeIntervalSince1970), lifetime: Self.tokenSeconds))
    }

    func request(_ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: gateway + path)
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        request.headers.add(name: "oversync-key-kinds", value: "integer")
        return request
    }

    func upload(_ changes: [WriterChange]) async throws -> UploadReply {
        var json: [UInt8] = Array("{\"changes\":[".utf8)
        for (index, change) in changes.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            change.append(to: &json)
        }
        json.append(contentsOf: "]}".utf8)
        var request = request("/sync/upload")
        request.method = .POST
        request.body = .bytes(ByteBuffer(bytes: json))
        return try UploadReply(try await answer(request))
    }

    func download(after: Int64, limit: Int, query: String = "") async throws -> FeedPage {
        try FeedPage(
            try await answer(request("/sync/download?after=\(after)&limit=\(limit)\(query)")))
    }

    /// Opens a stream; nil when there is none to be had just now.
    func open(_ path: String) async throws -> HTTPClientResponse? {
        try await attempt {
            try await client.execute(request(path), timeout: Self.timeout)
        }
    }

    /// The body of the answer, however often it takes.
    private func answer(_ request: HTTPClientRequest) async throws -> ByteBuffer {
        var backoff = Self.backoff
        while true {
            let body = try await attempt {
                let response = try await client.execute(request, timeout: Self.timeout)
                let body = try await response.body.collect(upTo: Self.maximumBodyBytes)
                return try Self.accept(response, body)
            }
            if let body { return body }
            progress.sendAgain()
            try await Task.sleep(for: backoff.fail())
        }
    }

    /// Nil: the server says to come back.
    private static func accept(_ response: HTTPClientResponse, _ body: ByteBuffer) throws
        -> ByteBuffer?
    {
        switch response.status.code {
        case 200: return body
        case 429, 500...: return nil
        default:
            throw StackError("a device was answered \(response.status): \(String(buffer: body))")
        }
    }

    /// Nil: no answer. What the device must not be answered is thrown.
    private func attempt<R>(_ work: () async throws -> R?) async throws -> R? {
        do {
            return try await work()
        } catch let error as StackError {
            throw error
        } catch {
            try Task.checkCancellation()
            return nil
        }
    }
}
