import ArgumentParser
import Foundation
import Model
import Tokens
import WireJSON

/// `oversync clients`: back ends that ask for tokens over HTTPS.
struct ClientsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clients",
        abstract: "Makes credentials for back ends that ask for tokens.",
        subcommands: [New.self])

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "new",
            abstract: "Prints a new secret once, and the lines for the file of clients.",
            discussion: """
                Standard output is the lines for OVERSYNC_AUTH_CLIENTS_FILE; they hold a hash of \
                the secret. The secret itself goes to the error output: give it to the back end. \
                It is kept nowhere. Connects to nothing. See Docs/tokens.md.
                """)

        @Argument(help: "The client's id.")
        var name: String
        @Option(help: "A pattern of users, such as customer-*; repeat the option for more.")
        var user: [String]
        @Option(help: "A pattern of devices; repeat the option for more (default: all).")
        var device: [String] = ["*"]
        @Option(help: "A role that it may ask for; repeat the option for more.")
        var role: [String] = []
        @Option(help: "Longest life of its tokens in seconds (1 to 86400).")
        var maxLifetime = 3600

        func validate() throws {
            guard isClientID(name) else {
                throw ValidationError(
                    "\(name): a client's id must have 1 to 63 letters, digits, . _ or -")
            }
            guard (1...TokenMint.maximumLifetimeSeconds).contains(maxLifetime) else {
                throw ValidationError(
                    "--max-lifetime must be between 1 and \(TokenMint.maximumLifetimeSeconds)")
            }
            for pattern in user + device
            where !(1...WireLimits.maximumIdentityBytes).contains(pattern.utf8.count) {
                throw ValidationError(
                    "--user and --device must have 1 to \(WireLimits.maximumIdentityBytes) bytes")
            }
            for name in role where !isRoleName(name) {
                throw ValidationError(
                    "--role \(name): must be 1 to 63 letters, digits, . _ : or -")
            }
        }

        func run() async throws {
            let secret = ClientSecret()
            // JSON's strings are YAML's, too.
            func list(_ texts: [String]) -> String {
                JSONDocument.array(texts.map { .string($0) }).text
            }
            print(
                """
                  - id: \(list([name]).dropFirst().dropLast())
                    secret_sha256: \(list([secret.hash]))
                    users: \(list(user))
                    devices: \(list(device))
                    roles: \(list(role))
                    max_lifetime_seconds: \(maxLifetime)
                """)
            FileHandle.standardError.write(Data("secret of \(name): \(secret.text)\n".utf8))
        }
    }
}
