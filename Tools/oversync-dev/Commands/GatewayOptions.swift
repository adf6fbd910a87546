import ArgumentParser
import GatewayAccess
import Model
import OperatorKit

/// Where a command finds a stack that is reached through HTTPS alone.
struct GatewayOptions: ParsableArguments {
    @Option(
        name: .customLong("gateway"),
        help: "Address of a running stack's gateway, such as https://sync.example.org:8443.")
    var url: String?
    @Option(
        name: .customLong("ca"),
        help:
            "PEM file of the authority that signed the gateway's certificate (default: public)."
    )
    var authority: String?
    @Option(help: "File with the gateway's OVERSYNC_JWT_HS256_SECRET, which signs the tokens.")
    var tokenSecretFile: String?

    func validate() throws {
        guard url != nil else {
            guard authority == nil, tokenSecretFile == nil else {
                throw ValidationError("--ca and --token-secret-file need --gateway")
            }
            return
        }
        guard tokenSecretFile != nil else {
            throw ValidationError("--gateway needs --token-secret-file")
        }
    }

    /// The stack that was named; nil if none was.
    func access() async throws -> GatewayAccess? {
        guard let url, let tokenSecretFile else { return nil }
        return try await GatewayAccess(
            url: url, authority: authority, secretFile: tokenSecretFile)
    }
}

/// Checks the name of a PostgreSQL schema that an option gives.
func checkSchema(_ schema: String) throws {
    guard isWireIdentifier(schema) else {
        throw ValidationError(
            "--schema \(schema): use lower-case letters, digits and _, as in oversync.yaml")
    }
}
