import Foundation
import TestTokens
import Testing

@testable import Gateway

/// Which keys of a published set check tokens, and with which algorithms.
struct KeySetTests {
    private static let fitting: [String: [TokenAlgorithm]] = [
        "RS256": [.rs256, .ps256], "PS256": [.rs256, .ps256], "ES256": [.es256],
        "ES384": [.es384], "EdDSA": [.edDSA],
    ]

    private func served(_ set: KeySet, _ kid: String) -> [TokenAlgorithm] {
        TokenAlgorithm.allCases.filter { set.key(kid, $0) != nil }
    }

    @Test(arguments: TestKey.algorithms)
    func `a key serves the algorithms of its kind, and those alone that it names`(
        algorithm: String
    ) async throws {
        var key = try TestKey(algorithm, kid: "k")
        #expect(served(try await KeySet(TestKey.set([key])), "k") == Self.fitting[algorithm])
        key.web["alg"] = algorithm
        let named = try await KeySet(TestKey.set([key]))
        #expect(served(named, "k") == [try #require(TokenAlgorithm(rawValue: algorithm))])
        // An algorithm of another kind of key, or of a secret, makes it useless.
        for alg in ["HS256", "none", algorithm == "ES256" ? "ES384" : "ES256"] {
            key.web["alg"] = alg
            #expect(try await KeySet(TestKey.set([key])).isEmpty, "\(alg)")
        }
    }

    @Test func `keys that are not for checking tokens are left out, and the others are used`()
        async throws
    {
        let good = try TestKey("ES256", kid: "good")
        var others: [TestKey] = []
        for (member, value) in [
            ("use", "enc"), ("kty", "oct"), ("kty", "EC2"), ("crv", "P-521"), ("x", "AAAA"),
            ("kid", ""), ("kid", String(repeating: "k", count: 257)), ("y", "!"),
        ] {
            var key = try TestKey("ES256", kid: "other")
            key.web[member] = value
            others.append(key)
        }
        var operations = try TestKey("ES256", kid: "other")
        operations.web["key_ops"] = ["deriveKey"]
        others += [operations, try TestKey("ES256", kid: nil)]
        for key in others {
            let set = try await KeySet(TestKey.set([key, good, key]))
            #expect(set.knows("good") && !set.knows("other"), "\(key.web)")
            #expect(try await KeySet(TestKey.set([key])).isEmpty, "\(key.web)")
        }
        let mixed = #"{"keys":[null,1,"k",[],{},{"kty":7,"kid":"a"},{"kid":["a"],"kty":"RSA"}]}"#
        #expect(try await KeySet(mixed).isEmpty)
    }

    @Test func `numbers of RSA that are no key are left out`() async throws {
        let whole = try TestKey("RS256", kid: "k")
        for (member, value) in [
            ("n", ""), ("n", "AQAB"), ("n", String(repeating: "_", count: 1400)), ("e", ""),
            ("e", "AA"), ("e", "Ag"), ("e", String(repeating: "_", count: 300)), ("n", "%%%"),
        ] {
            var key = whole
            key.web[member] = value
            #expect(try await KeySet(TestKey.set([key])).isEmpty, "\(member) \(value)")
        }
    }

    @Test(arguments: ["", "[]", "{}", "null", #"{"keys":{}}"#, "<html>", "{\"keys\":[}"])
    func `what is not a key set is refused`(text: String) async {
        await #expect(throws: KeySetFlaw.self) { try await KeySet(text) }
    }

    @Test func `sets are equal if they check the same tokens`() async throws {
        let (one, two) = (try TestKey("ES256", kid: "1"), try TestKey("EdDSA", kid: "2"))
        var other = two
        other.web["x5t"] = "of no meaning here"
        let set = try await KeySet(TestKey.set([one, two]))
        #expect(set.checksTheSame(as: try await KeySet(TestKey.set([other, one]))))
        #expect(!set.checksTheSame(as: try await KeySet(TestKey.set([one]))))
        let renewed = try TestKey("EdDSA", kid: "2")
        #expect(!set.checksTheSame(as: try await KeySet(TestKey.set([one, renewed]))))
    }

    @Test func `a token need not name a key that alone serves its algorithm`() async throws {
        let keys = [try TestKey("ES256", kid: "1"), try TestKey("EdDSA", kid: "2")]
        let set = try await KeySet(TestKey.set(keys))
        #expect(set.only(.es256) != nil && set.only(.edDSA) != nil && set.only(.rs256) == nil)
        let more = try await KeySet(TestKey.set(keys + [try TestKey("ES256", kid: "3")]))
        #expect(more.only(.es256) == nil && more.only(.edDSA) != nil)
    }
}
