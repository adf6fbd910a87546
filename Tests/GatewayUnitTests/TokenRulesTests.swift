import Foundation
import Testing

@testable import Gateway

/// What the installation's own tokens must say, and what this release still lets pass.
struct TokenRulesTests {
    private let now = 1_800_000_000.0

    private func cause(_ body: () throws(TokenRejection) -> Void) -> TokenRejection.Cause? {
        do throws(TokenRejection) {
            try body()
            return nil
        } catch {
            return error.cause
        }
    }

    @Test func `Auth's tokens must name Auth, or nobody in this release`() throws {
        let lax = TokenRules()
        #expect(try lax.checkParties(iss: "oversync", aud: ["oversync"], isAuths: true).isEmpty)
        #expect(
            try lax.checkParties(iss: nil, aud: nil, isAuths: true) == [.noIssuer, .noAudience])
        #expect(
            cause { () throws(TokenRejection) in
                _ = try lax.checkParties(iss: "other", aud: ["oversync"], isAuths: true)
            } == .issuer)
        #expect(
            cause { () throws(TokenRejection) in
                _ = try lax.checkParties(iss: "oversync", aud: ["other"], isAuths: true)
            } == .audience)
        let strict = TokenRules(isStrict: true)
        #expect(
            cause { () throws(TokenRejection) in
                _ = try strict.checkParties(iss: nil, aud: ["oversync"], isAuths: true)
            } == .issuer)
        #expect(
            cause { () throws(TokenRejection) in
                _ = try strict.checkParties(iss: "oversync", aud: nil, isAuths: true)
            } == .audience)
    }

    @Test func `tokens of a shared secret say what they like, unless it is set`() throws {
        for rules in [TokenRules(), TokenRules(isStrict: true)] {
            #expect(try rules.checkParties(iss: nil, aud: nil, isAuths: false).isEmpty)
            #expect(try rules.checkParties(iss: "x", aud: ["y"], isAuths: false).isEmpty)
        }
        let set = TokenRules(issuer: "i", audience: "a")
        for isAuths in [false, true] {
            #expect(try set.checkParties(iss: "i", aud: ["b", "a"], isAuths: isAuths).isEmpty)
            #expect(
                cause { () throws(TokenRejection) in
                    _ = try set.checkParties(iss: nil, aud: ["a"], isAuths: isAuths)
                } == .issuer)
            #expect(
                cause { () throws(TokenRejection) in
                    _ = try set.checkParties(iss: "i", aud: nil, isAuths: isAuths)
                } == .audience)
        }
    }

    @Test func `a life is counted from iat, or from now where that is later or missing`() throws {
        func leniency(_ iat: Double?, _ exp: Double, _ rules: TokenRules) throws -> TokenLeniency? {
            try rules.checkLifetime(of: .init(exp: exp, iat: iat), now: now)
        }
        let lax = TokenRules()
        #expect(try leniency(now, now + 86_400, lax) == nil)
        #expect(try leniency(nil, now + 86_405, lax) == nil)
        #expect(try leniency(nil, now + 86_406, lax) == .lifetime)
        #expect(try leniency(now - 86_400, now + 60, lax) == .lifetime)
        // A time from the future makes no life shorter.
        #expect(try leniency(now + 1e9, now + 86_406, lax) == .lifetime)
        let set = TokenRules(maximumLifetimeSeconds: 600)
        #expect(try leniency(now, now + 605, set) == nil)
        #expect(throws: TokenRejection.self) { try leniency(now, now + 606, set) }
        // Longer than the standard, if that is set: 30 days.
        let month = TokenRules(maximumLifetimeSeconds: 2_592_000, isStrict: true)
        #expect(try leniency(now, now + 2_592_000, month) == nil)
    }
}
