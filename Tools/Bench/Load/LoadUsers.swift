import Foundation
import OperatorKit
import Tokens

/// The users of one run, and tokens for their devices.
struct LoadUsers: Sendable {
    private let mint: TokenMint
    private let run: Int

    /// - Parameters:
    ///   - stack: whose gateway takes the tokens.
    ///   - run: tells this run's users from another's.
    init(of stack: StackAddress, run: Int) async throws {
        let secret = try String(contentsOfFile: stack.hs256SecretFile, encoding: .utf8)
        mint = await TokenMint(hs256: secret)
        self.run = run
    }

    /// A name that no other run has.
    func unique(_ name: String) -> String { "\(name)-\(run)" }

    /// A device of a user of this run alone.
    func device(_ user: String, _ device: String) async throws -> LoadDevice {
        try await self.device(ofUser: unique(user), device)
    }

    /// A device of a user named elsewhere.
    func device(ofUser user: String, _ device: String) async throws -> LoadDevice {
        try await LoadDevice(user: user, device: device, mint: mint)
    }
}
