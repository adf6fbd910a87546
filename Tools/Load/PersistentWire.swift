import AsyncHTTPClient
import Foundation
import GatewayAccess
import NIOCore
import NIOHTTP1
import Waiting

/// The requests of one device. Each is sent until it is answered, as the protocol asks of devices: after a broken
/// connection with growing pauses, after 429 and 503 when `Retry-After` has passed.
package struct PersistentWire: Sendable {
    /// For the head of one answer; a long poll may take its `wait` more.
    static let timeout: TimeAmount = .seconds(40)
    /// The pauses after broken connections.
    private static let backoff = Backoff(first: .milliseconds(20), longest: .milliseconds(500))
    /// Up to so much more than asked for, so that devices do not come back all at once.
    private static let jitter = 0.2
    /// Largest answer that is read, in bytes.
    private static let maximumBodyBytes = 32 << 20
    /// Most of an answer that stands in an error, in bytes.
    private static let toldBytes = 500

    private let gateway: String
    private let token: String
    private let client: HTTPClient
    private let tally: LoadTally

    package init(
        _ gateway: GatewayAccess, _ client: HTTPClient, user: String, device: String,
        tally: LoadTally
    ) async throws {
        self.gateway = gateway.url
        self.client = client
        self.tally = tally
        token = try await gateway.token(user: user, device: device)
    }

    /// - Returns: the body of the answer; nil if the end came before it.
    func upload(_ body: String) async throws -> Data? {
        var request = request("/sync/upload")
        request.method = .POST
        request.body = .bytes(ByteBuffer(string: body))
        return try await persist(request)
    }

    /// - Returns: the body of the answer; nil if the end came before it.
    func get(_ path: String) async throws -> Data? { try await persist(request(path)) }

    func request(_ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: gateway + path)
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        return request
    }

    private func persist(_ request: HTTPClientRequest) async throws -> Data? {
        var backoff = Self.backoff
        while !tally.isPastGrace {
            switch try await attempt({ try await client.execute(request, timeout: Self.timeout) }) {
            case .answer(let data): return data
            case .later(let seconds):
                try await Task.sleep(for: .seconds(seconds * (1 + .random(in: 0..<Self.jitter))))
            case .broken:
                try await Task.sleep(for: backoff.fail())
            }
        }
        return nil
    }

    /// Reads the events of a stream until it ends, breaks or `isOver` says so.
    func stream(_ path: String, _ take: (ByteBuffer) async throws -> Bool) async throws {
        let request = request(path)
        let response: HTTPClientResponse
        do {
            response = try await client.execute(request, deadline: .distantFuture)
        } catch {
            try Task.checkCancellation()
            tally.broke(error)
            return try await Task.sleep(for: Self.backoff.first)
        }
        guard response.status == .ok else {
            if case .later(let seconds) = try await read(response) {
                try await Task.sleep(for: .seconds(seconds))
            }
            return
        }
        tally.answered(200)
        do {
            for try await piece in response.body {
                if try await take(piece) { return }
            }
        } catch let error as FatalAnswer {
            throw error
        } catch {
            try Task.checkCancellation()
        }
        tally.streamEnded()
    }

    private enum Outcome {
        case answer(Data)
        case later(seconds: Double)
        case broken
    }

    private func attempt(_ send: () async throws -> HTTPClientResponse) async throws -> Outcome {
        do {
            return try await read(try await send())
        } catch let error as FatalAnswer {
            throw error
        } catch {
            try Task.checkCancellation()
            tally.broke(error)
            return .broken
        }
    }

    private func read(_ response: HTTPClientResponse) async throws -> Outcome {
        let body = try await response.body.collect(upTo: Self.maximumBodyBytes)
        let status = Int(response.status.code)
        tally.answered(status)
        switch (status, response.headers.first(name: "retry-after").flatMap { Double($0) }) {
        case (200, _): return .answer(Data(body.readableBytesView))
        case (429, let seconds?), (503, let seconds?): return .later(seconds: seconds)
        default:
            let told = String(
                decoding: body.readableBytesView.prefix(Self.toldBytes), as: UTF8.self)
            throw FatalAnswer("\(status) \(told)")
        }
    }
}
