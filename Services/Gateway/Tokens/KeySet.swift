import Foundation
import JWTKit

/// The algorithms that a published key may serve. Those of shared secrets are not among them: a
/// published key would be one.
enum TokenAlgorithm: String, CaseIterable, Sendable {
    case rs256 = "RS256"
    case ps256 = "PS256"
    case es256 = "ES256"
    case es384 = "ES384"
    case edDSA = "EdDSA"
}

/// The keys of a JSON Web Key Set (RFC 7517) that check tokens.
///
/// A key without a name, for encryption, of an unknown kind or damaged is left out: publishers add
/// such keys to those that sign.
struct KeySet: Sendable {
    /// Longest name of a key, in bytes.
    static let maximumNameBytes = 256
    /// Most keys that are looked at.
    private static let maximumKeys = 100

    private struct Name: Hashable {
        let kid: String
        let algorithm: TokenAlgorithm
    }

    /// As it was published.
    let document: String
    /// Each holds one key of one algorithm, so that no token is tried with another.
    private let keys: [Name: JWTKeyCollection]
    private let kids: Set<String>
    /// What the keys are: equal sets check the same tokens.
    private let content: Set<String>

    /// - Parameter algorithms: those that its tokens may have.
    /// - Throws: `KeySetFlaw` for a text that is not a key set.
    init(
        _ document: String, algorithms: Set<TokenAlgorithm> = Set(TokenAlgorithm.allCases)
    ) async throws(KeySetFlaw) {
        struct Document: Decodable { let keys: [LenientKey] }
        guard let read = try? JSONDecoder().decode(Document.self, from: Data(document.utf8)) else {
            throw KeySetFlaw("it is not a JSON Web Key Set")
        }
        var keys: [Name: JWTKeyCollection] = [:]
        var kids: Set<String> = []
        var content: Set<String> = []
        for case let key? in read.keys.prefix(Self.maximumKeys).map(\.key) {
            guard let kid = key.usableName else { continue }
            for algorithm in key.algorithms where algorithms.contains(algorithm) {
                let name = Name(kid: kid, algorithm: algorithm)
                guard keys[name] == nil, let collection = await key.collection(algorithm) else {
                    continue
                }
                keys[name] = collection
                kids.insert(kid)
                content.insert("\(algorithm.rawValue) \(kid.debugDescription) \(key.material)")
            }
        }
        self.document = document
        self.keys = keys
        self.kids = kids
        self.content = content
    }

    var isEmpty: Bool { keys.isEmpty }

    func knows(_ kid: String) -> Bool { kids.contains(kid) }

    /// The key of this name, if it serves this algorithm.
    func key(_ kid: String, _ algorithm: TokenAlgorithm) -> JWTKeyCollection? {
        keys[Name(kid: kid, algorithm: algorithm)]
    }

    /// The key that serves this algorithm, if one alone does: then a token need not name it.
    func only(_ algorithm: TokenAlgorithm) -> JWTKeyCollection? {
        let fitting = keys.filter { $0.key.algorithm == algorithm }
        return fitting.count == 1 ? fitting.first?.value : nil
    }

    func checksTheSame(as other: KeySet) -> Bool { content == other.content }
}

/// What is wrong with a key set, in words that follow "the keys of … could not be read:".
struct KeySetFlaw: Error, Hashable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A member of `keys`; nil where it is not what it should be.
private struct LenientKey: Decodable {
    let key: WebKey?

    init(from decoder: any Decoder) throws { key = try? WebKey(from: decoder) }
}

/// A JSON Web Key (RFC 7517, RFC 7518 §6, RFC 8037 §2), as far as checking signatures needs it.
private struct WebKey: Decodable {
    /// Longest modulus, in characters of Base64: 8192 bits. Checking with a longer one takes too
    /// long.
    private static let maximumModulus = 1366

    let kty: String
    let crv: String?
    let alg: String?
    let use: String?
    let keyOperations: [String]?
    let kid: String?
    let n: String?
    let e: String?
    let x: String?
    let y: String?

    enum CodingKeys: String, CodingKey {
        case kty, crv, alg, use, kid, n, e, x, y
        case keyOperations = "key_ops"
    }

    /// Nil for a key that no token can name, or that signs nothing.
    var usableName: String? {
        guard let kid, (1...KeySet.maximumNameBytes).contains(kid.utf8.count),
            use == nil || use == "sig", keyOperations?.contains("verify") ?? true
        else { return nil }
        return kid
    }

    /// What the key's kind allows, and the key itself if it says so.
    var algorithms: [TokenAlgorithm] {
        let fitting: [TokenAlgorithm] =
            switch (kty, crv) {
            case ("RSA", _): [.rs256, .ps256]
            case ("EC", "P-256"): [.es256]
            case ("EC", "P-384"): [.es384]
            case ("OKP", "Ed25519"): [.edDSA]
            default: []
            }
        guard let alg else { return fitting }
        return fitting.filter { $0.rawValue == alg }
    }

    var material: String { [n, e, x, y].map { $0 ?? "-" }.joined(separator: " ") }

    func collection(_ algorithm: TokenAlgorithm) async -> JWTKeyCollection? {
        let keys = JWTKeyCollection()
        do {
            switch algorithm {
            case .rs256:
                guard let key = try rsa() else { return nil }
                await keys.add(rsa: key, digestAlgorithm: .sha256)
            case .ps256:
                guard let key = try rsa() else { return nil }
                await keys.add(pss: key, digestAlgorithm: .sha256)
            case .es256:
                guard let point else { return nil }
                await keys.add(ecdsa: try ES256PublicKey(parameters: point))
            case .es384:
                guard let point else { return nil }
                await keys.add(ecdsa: try ES384PublicKey(parameters: point))
            case .edDSA:
                guard let x else { return nil }
                await keys.add(eddsa: try EdDSA.PublicKey(x: x, curve: .ed25519))
            }
            return keys
        } catch {
            return nil
        }
    }

    private func rsa() throws -> Insecure.RSA.PublicKey? {
        guard let n, let e, n.utf8.count <= Self.maximumModulus else { return nil }
        return try Insecure.RSA.PublicKey(modulus: n, exponent: e)
    }

    private var point: ECDSAParameters? {
        guard let x, let y else { return nil }
        return (x, y)
    }
}
