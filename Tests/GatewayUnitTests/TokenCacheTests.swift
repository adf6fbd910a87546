import Foundation
import RPC
import Testing

@testable import Gateway

/// Tokens that need no second verification.
struct TokenCacheTests {
    private let future = Date().timeIntervalSince1970 + 3600

    private func caller(_ number: Int, until expires: TimeInterval) -> VerifiedCaller {
        VerifiedCaller(
            identity: CallerIdentity(user: "u\(number)", device: "d"), expires: expires)
    }

    private func key(_ number: Int) -> TokenCache.Key { TokenCache.key(of: "token \(number)") }

    @Test func `a token is known until it ends`() {
        let cache = TokenCache()
        cache.keep(caller(1, until: 100), under: key(1), generation: cache.generation)
        #expect(cache.caller(key(1), now: 99.9) == caller(1, until: 100))
        #expect(cache.caller(key(1), now: 100) == nil)
        #expect(cache.caller(key(2), now: 0) == nil)
    }

    @Test func `when the keys change everything is forgotten, also what was being verified`() {
        let cache = TokenCache()
        let before = cache.generation
        cache.keep(caller(1, until: future), under: key(1), generation: before)
        cache.clear()
        #expect(cache.caller(key(1), now: 0) == nil)
        cache.keep(caller(2, until: future), under: key(2), generation: before)
        #expect(cache.caller(key(2), now: 0) == nil)
    }

    @Test func `that a token was good is remembered when the keys change, until it is refused`() {
        let cache = TokenCache()
        cache.keep(caller(1, until: future), under: key(1), generation: cache.generation)
        #expect(!cache.wasGood(key(1)))
        cache.clear()
        cache.clear()
        #expect(cache.wasGood(key(1)) && !cache.wasGood(key(2)))
        cache.forget(key(1))
        #expect(!cache.wasGood(key(1)))
    }

    @Test func `no more former tokens are remembered than may be known`() {
        let cache = TokenCache(maximumTokens: 10)
        for round in 0..<5 {
            for number in 0..<8 {
                cache.keep(
                    caller(number, until: future), under: key(10 * round + number),
                    generation: cache.generation)
            }
            cache.clear()
            #expect((0..<8).allSatisfy { cache.wasGood(key(10 * round + $0)) })
            #expect((0..<50).count { cache.wasGood(key($0)) } <= 10)
        }
    }

    @Test func `it never holds more than it may, and keeps the newest`() {
        let cache = TokenCache(maximumTokens: 10)
        for number in 0..<100 {
            cache.keep(
                caller(number, until: future), under: key(number), generation: cache.generation)
            #expect(cache.caller(key(number), now: 0) == caller(number, until: future))
            let known = (0...number).count { cache.caller(key($0), now: 0) != nil }
            #expect(known <= 10)
        }
    }
}
