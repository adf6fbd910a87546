import Foundation
import Logging
import RPC
import TestTokens
import Testing

@testable import Gateway

/// Keys that come and go while tokens are checked.
@Suite(.timeLimit(.minutes(1)))
struct PublishedKeysTests {
    private func keys(
        of publisher: TestPublisher, interval: Duration, cache: TokenCache = TokenCache()
    ) -> PublishedKeys {
        PublishedKeys(
            of: "acme", .init(refresh: .seconds(300), interval: interval), cache: cache,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { try await publisher.read() }
    }

    @Test func `a new key is found, once for all who wait, though the last reading was just now`()
        async throws
    {
        let (old, new) = (try TestKey("ES256", kid: "old"), try TestKey("ES256", kid: "new"))
        let publisher = TestPublisher(try TestKey.set([old]))
        let keys = keys(of: publisher, interval: .milliseconds(300))
        #expect(try await keys.key("old", .es256) != nil)
        // The publisher signs with it as soon as it publishes it.
        publisher.document = try TestKey.set([old, new])
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 {
                group.addTask { try await keys.key("new", .es256) != nil }
            }
            for try await isFound in group { #expect(isFound) }
        }
        #expect(publisher.readings == 2)
    }

    @Test func `invented names cost the publisher one reading in an interval`() async throws {
        let publisher = TestPublisher(try TestKey.set([try TestKey("ES256", kid: "k")]))
        let keys = keys(of: publisher, interval: .milliseconds(300))
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { try await keys.key("invented-\(number % 7)", .es256) == nil }
            }
            for try await isAbsent in group { #expect(isAbsent) }
        }
        #expect(publisher.readings <= 1 + Int((.now - start) / .milliseconds(300)))
        // A name that is known, of an algorithm that its key does not serve, costs nothing.
        let before = publisher.readings
        #expect(try await keys.key("k", .rs256) == nil)
        #expect(publisher.readings == before)
    }

    @Test func `while the publisher is silent the last keys stay, and a new name is no refusal`()
        async throws
    {
        let key = try TestKey("EdDSA", kid: "k")
        let publisher = TestPublisher(try TestKey.set([key]))
        let keys = keys(of: publisher, interval: .milliseconds(50))
        #expect(keys.age == nil)
        #expect(try await keys.key("k", .edDSA) != nil)
        for silence in [nil, "<html>"] {
            publisher.document = silence
            await #expect(throws: (any Error).self) { try await keys.refresh() }
            #expect(try await keys.key("k", .edDSA) != nil)
            await #expect(throws: RPCFailure.self) { try await keys.key("new", .edDSA) }
        }
        #expect(try #require(keys.age) < .seconds(60))
    }

    @Test func `verified tokens are forgotten when the keys change, and only then`() async throws {
        let key = try TestKey("ES256", kid: "k")
        let publisher = TestPublisher(try TestKey.set([key]))
        let cache = TokenCache()
        let keys = keys(of: publisher, interval: .zero, cache: cache)
        try await keys.refresh()
        let generation = cache.generation
        var renamed = key
        renamed.web["alg"] = "ES256"
        publisher.document = try TestKey.set([renamed])
        #expect(try await !keys.readAgain())
        #expect(cache.generation == generation)
        publisher.document = try TestKey.set([key, try TestKey("ES256", kid: "l")])
        #expect(try await keys.readAgain())
        #expect(cache.generation == generation + 1)
    }
}
