import Foundation
import Logging

/// An issuer and the keys it publishes.
struct Issuer: Sendable {
    let settings: IssuerSettings
    let keys: PublishedKeys
}

/// The issuers whose tokens are accepted in addition to the installation's own.
struct Issuers: Sendable {
    /// An issuer's key of an unknown name is asked for at most this often.
    private static let interval: Duration = .seconds(5)

    static let none = Issuers([])

    let all: [Issuer]
    /// By the tokens' `iss`.
    private let byIssuer: [String: Issuer]

    init(_ all: [Issuer]) {
        self.all = all
        byIssuer = Dictionary(all.map { ($0.settings.issuer, $0) }) { first, _ in first }
    }

    init(
        _ settings: [IssuerSettings], cache: TokenCache, logger: Logger,
        interval: Duration = interval
    ) {
        self.init(
            settings.map { settings in
                let download = KeyDownload(keys: settings.keys, algorithms: settings.algorithms)
                let pace = PublishedKeys.Pace(
                    refresh: .seconds(settings.refreshSeconds), interval: interval)
                let keys = PublishedKeys(of: settings.name, pace, cache: cache, logger: logger) {
                    try await download()
                }
                return Issuer(settings: settings, keys: keys)
            })
    }

    /// Whose token it claims to be: nothing is verified yet. Nil: the installation's own.
    func issuer(of token: String) -> Issuer? {
        guard !byIssuer.isEmpty else { return nil }
        struct Claims: Decodable { let iss: String }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = Data(base64URL: parts[1]),
            let claims = try? JSONDecoder().decode(Claims.self, from: payload)
        else { return nil }
        return byIssuer[claims.iss]
    }
}
