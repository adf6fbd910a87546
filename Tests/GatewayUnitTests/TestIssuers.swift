import Foundation
import HTTPTypes
import Logging
import RPC
import Synchronization
import Telemetry
import TestTokens
import Testing

@testable import Gateway

/// A publisher whose answers a test changes.
final class TestPublisher: Sendable {
    private struct State {
        var document: String?
        var readings = 0
    }

    private let state: Mutex<State>

    /// - Parameter document: nil does not answer.
    init(_ document: String?) { state = Mutex(State(document: document)) }

    var document: String? {
        get { state.withLock { $0.document } }
        set { state.withLock { $0.document = newValue } }
    }

    var readings: Int { state.withLock { $0.readings } }

    struct Silence: Error {}

    func read() async throws -> KeySet {
        let document = state.withLock { state in
            state.readings += 1
            return state.document
        }
        guard let document else { throw Silence() }
        return try await KeySet(document)
    }
}

/// The verifier of a gateway that takes tokens of these issuers.
struct IssuerFixture {
    /// The gateway's clock in these tests, in seconds since 1970.
    static let now = 1_800_000_000.0
    static let secret = "a secret of 32 bytes, or of more"

    let verifier: TokenVerifier
    let metrics = MetricsRegistry()

    init(
        _ yaml: String, publishing keys: [String: TestPublisher], rules: TokenRules = TokenRules()
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let cache = TokenCache()
        let auth = RPCClient(directory: "/nonexistent", service: "auth", logger: logger)
        let issuers = try IssuerFile.parse(yaml).map { settings in
            var settings = settings
            settings.withheldRole = "admin"
            let publisher = try #require(keys[settings.name])
            let pace = PublishedKeys.Pace(refresh: .seconds(300), interval: .milliseconds(50))
            return Issuer(
                settings: settings,
                keys: PublishedKeys(of: settings.name, pace, cache: cache, logger: logger) {
                    try await publisher.read()
                })
        }
        verifier = TokenVerifier(
            keys: await KeySource(
                auth: auth, hs256Secrets: [Self.secret], cache: cache, logger: logger),
            cache: cache, issuers: Issuers(issuers), rules: rules, now: { Self.now },
            observer: TokenObserver(metrics, logger: logger))
    }

    func caller(_ token: String) async throws -> VerifiedCaller {
        try await verifier.caller(authorization: "Bearer " + token)
    }

    /// Why a token does not get in; nil if it does.
    func refusal(_ token: String) async -> String? {
        do {
            _ = try await caller(token)
            return nil
        } catch let error as WireError {
            #expect(error.status == .unauthorized && error.code == "authentication_failed")
            return error.message
        } catch {
            return "\(error)"
        }
    }

    /// How many tokens were rejected for a cause.
    func rejected(_ cause: String, _ issuer: String) -> Int {
        let name = "oversync_gateway_rejected_tokens_total"
        let line = "\(name){cause=\"\(cause)\",issuer=\"\(issuer)\"} "
        let found = metrics.rendered().split(separator: "\n").first { $0.hasPrefix(line) }
        return found.flatMap { Int($0.dropFirst(line.count)) } ?? 0
    }
}
