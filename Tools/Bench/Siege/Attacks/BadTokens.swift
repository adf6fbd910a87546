import NIOCore
import Tokens

/// Tokens that somebody else has signed, at a high rate, from the other user's address.
struct BadTokens: Attack {
    private static let connections = 20
    private static let tokens = 256
    /// A thousand requests a second, altogether.
    private static let pace: TimeAmount = .milliseconds(20)
    private static let wrongSecret = "a secret that the gateway does not know"

    let id = "bad-tokens"
    let work = "1000 bad tokens a second from the other user's address"
    let alsoByVictim: Set<Victim.Work> = [.connect]

    func prepare(_ field: SiegeField) async throws -> Assault {
        let mint = await TokenMint(hs256: Self.wrongSecret)
        var requests: [ByteBuffer] = []
        for index in 0..<Self.tokens {
            let device = try await LoadDevice(user: "nobody-\(index)", device: "d", mint: mint)
            requests.append(RequestBytes.get("/sync/bootstrap", token: device.token))
        }
        let loop = field.loop(Self.connections, pace: Self.pace) { [requests] connection, turn in
            requests[(connection + turn * Self.connections) % requests.count]
        }
        let seconds = field.plan.seconds
        return { await loop.run(for: seconds) }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [
            seen.victimIsAnswered, seen.victimDid(.connect),
            .plain("attacker: answers 429", Double(seen.attack.count("429")), .atLeast(1)),
        ] + seen.refusalsAreClean
    }
}
