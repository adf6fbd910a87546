import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import OperatorKit

extension StackAddress {
    /// How long the services may take to come up.
    private static let patience: Duration = .seconds(60)

    func save(to directory: StackDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(self).write(
            to: URL(fileURLWithPath: directory.description), options: .atomic)
    }

    func remove(from directory: StackDirectory) {
        try? FileManager.default.removeItem(atPath: directory.description)
    }

    /// Lends an HTTP client that trusts this stack's certificate.
    package func withClient<R>(
        isolation: isolated (any Actor)? = #isolation, _ body: (HTTPClient) async throws -> R
    ) async throws -> R {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(authority)
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.timeout.connect = .seconds(5)
        let client = HTTPClient(configuration: configuration)
        do {
            let value = try await body(client)
            try await client.shutdown()
            return value
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    /// Waits until the gateway says that it and all services are ready.
    ///
    /// Asks again and again: a process that is coming up sends no event to wait for.
    package func waitUntilReady() async throws {
        let end = ContinuousClock.now + Self.patience
        try await withClient { client in
            var answer = "no answer"
            while ContinuousClock.now < end {
                try Task.checkCancellation()
                if let response = try? await client.execute(
                    HTTPClientRequest(url: gateway + "/ready"), timeout: .seconds(2))
                {
                    if response.status == .ok { return }
                    answer = String(
                        buffer: (try? await response.body.collect(upTo: 1 << 16)) ?? ByteBuffer())
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            throw StackError("the stack did not become ready in \(Self.patience): \(answer)")
        }
    }
}
