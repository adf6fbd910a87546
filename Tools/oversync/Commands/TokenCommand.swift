import ArgumentParser
import Foundation
import Model
import OperatorKit
import Protos
import RPC
import ServiceKit
import Sidecar
import Tokens

/// `oversync token`: mints a token for trying things out, or for a back end's scripts.
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Prints a device token.",
        discussion: """
            With es256, the Auth service issues the token, over its socket (in OVERSYNC_RUN, or the running \
            dev stack's). With hs256, this command signs it with the shared secret \
            (OVERSYNC_JWT_HS256_SECRET, OVERSYNC_JWT_HS256_SECRET_FILE, or the running dev stack's).
            """)

    enum Algorithm: String, ExpressibleByArgument, CaseIterable {
        case es256, hs256
    }

    @Option(help: "The user: the token's sub.")
    var user: String
    @Option(help: "The device: the token's did.")
    var device: String
    @Option(name: .customLong("alg"), help: "es256 or hs256.")
    var algorithm = Algorithm.es256
    @Option(help: "Seconds until the token expires (1 to 86400).")
    var lifetime = 900
    @Option(help: "A role of the user, such as admin; repeat the option for more.")
    var role: [String] = []
    @OptionGroup var stack: StackOptions

    /// As many as the gateway's rules allow.
    private static let maximumRoles = 64

    func validate() throws {
        guard (1...TokenMint.maximumLifetimeSeconds).contains(lifetime) else {
            throw ValidationError(
                "--lifetime must be between 1 and \(TokenMint.maximumLifetimeSeconds)")
        }
        guard !user.isEmpty, !device.isEmpty else {
            throw ValidationError("--user and --device must not be empty")
        }
        guard role.count <= Self.maximumRoles else {
            throw ValidationError(
                "--role: the gateway takes tokens of at most \(Self.maximumRoles) roles")
        }
        for name in role where !isRoleName(name) {
            throw ValidationError(
                "--role \(name): must be 1 to 63 letters, digits, . _ : or -")
        }
    }

    func run() async throws {
        switch algorithm {
        case .hs256: print(try await signWithSecret())
        case .es256: print(try await askAuth())
        }
    }

    private static let secret = Setting.secret(
        "OVERSYNC_JWT_HS256_SECRET", "secret shared with the gateway")

    private func signWithSecret() async throws -> String {
        let configuration = Configuration()
        let running = StackAddress.running(in: stack.directory)
        let stackSecret = running.flatMap {
            try? String(contentsOfFile: $0.hs256SecretFile, encoding: .utf8)
        }
        guard let secret = try configuration.optional(Self.secret) ?? stackSecret else {
            throw StackError(
                "no secret: set \(Self.secret.key) or \(Self.secret.key)_FILE, or run oversync-dev dev"
            )
        }
        let claims = DeviceClaims(
            user: user, device: device, roles: role,
            issuer: try configuration.optional(TokenSettings.issuer) ?? TokenSettings.defaultName,
            audience: try configuration.optional(TokenSettings.audience)
                ?? TokenSettings.defaultName,
            now: Int(Date().timeIntervalSince1970), lifetime: lifetime)
        return try await TokenMint(hs256: secret).sign(claims)
    }

    private func askAuth() async throws -> String {
        var request = IssueTokenRequest()
        request.user = user
        request.device = device
        request.lifetimeSeconds = UInt32(lifetime)
        request.roles = role
        return try await withService(.auth, in: stack) { client, context in
            try await client.call(AuthRPC.issueToken, request, context: context).message.token
        }
    }
}
