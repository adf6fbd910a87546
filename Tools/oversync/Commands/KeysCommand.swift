import ArgumentParser
import OperatorKit
import Postgres
import ServiceKit
import Sidecar
import SigningKeys
import WireJSON

/// `oversync keys`: the keys with which Auth signs tokens.
struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Lists, rotates, retires and reseals the keys that sign tokens.",
        discussion: """
            It changes the database; running Auth and gateways follow by themselves. Connect as \
            the owner of the sidecar, or as Auth's role. See Docs/keys.md.
            """,
        subcommands: [List.self, Rotate.self, Retire.self, Reseal.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Prints each key, its state and its times.")

        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let keys = try await withConnection(to: try database.resolve()) {
                try await KeyStore.list(on: $0)
            }
            if output.json {
                for (row, state) in keys {
                    let document: JSONDocument = [
                        "kid": .string(row.kid), "state": .string(state.rawValue),
                        "signs_from": .string(row.activeFrom),
                        "retires": row.retiresAt.map { .string($0) },
                    ]
                    print(document.text)
                }
                return
            }
            for (row, state) in keys {
                let end = row.retiresAt.map { ", retires \($0)" } ?? ""
                print("\(row.kid) \(state.rawValue), signs from \(row.activeFrom)\(end)")
            }
            if keys.isEmpty { print("no keys: Auth makes the first one when it starts") }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate",
            abstract: "Makes a new key, and has the others retire after their last tokens.",
            discussion: """
                The new key is published first and signs after --publish-ahead, when all gateways \
                know it. Until --overlap and ten minutes after that the others stay published. An \
                overlap that is shorter than the longest token ends tokens early. --at-once ends \
                all tokens now: for a key that somebody else may have.
                """)

        @Option(help: "How long the longest token may last, such as 24h. (default: 1d)")
        var overlap: Age?
        @Option(
            help: "How long the new key is published before it signs; at least 60s. (default: 2m)")
        var publishAhead: Age?
        @Flag(help: "The new key signs now, and the others are no longer published.")
        var atOnce = false
        @OptionGroup var database: MigrateCommand.Database

        private var lead: Age { publishAhead ?? Age(seconds: Int64(KeyPace.standardLeadSeconds)) }

        func validate() throws {
            guard !atOnce || overlap == nil && publishAhead == nil else {
                throw ValidationError(
                    "--at-once ends all tokens now: it goes with neither --overlap nor "
                        + "--publish-ahead")
            }
            guard Double(lead.seconds) >= KeyPace.minimumLeadSeconds else {
                throw ValidationError(
                    "--publish-ahead must be at least \(Int(KeyPace.minimumLeadSeconds))s: "
                        + "gateways must have read the key before it signs")
            }
        }

        func run() async throws {
            let pace =
                atOnce
                ? .atOnce
                : KeyPace(
                    lead: Double(lead.seconds), overlap: KeysCommand.overlapSeconds(overlap))
            let kid = try await KeysCommand.change(.rotateKeys, try database.resolve()) {
                try await $0.rotate(pace, on: $1)
            }
            let when = atOnce ? "now" : "in \(lead)"
            print("key \(kid ?? "") signs \(when)")
        }
    }

    struct Retire: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "retire",
            abstract: "Has a key stop signing, and retire after its last token.",
            discussion: """
                Another key must sign. --at-once ends the key's tokens now: for a key that \
                somebody else may have.
                """)

        @Argument(
            help: "The key's name, as oversync keys list prints it; after -- if it begins with -.")
        var kid: String
        @Option(help: "How long the longest token may last, such as 24h. (default: 1d)")
        var overlap: Age?
        @Flag(help: "The key is no longer published from now on.")
        var atOnce = false
        @OptionGroup var database: MigrateCommand.Database

        func validate() throws {
            guard !atOnce || overlap == nil else {
                throw ValidationError(
                    "--at-once ends the key's tokens now: it goes without --overlap")
            }
        }

        func run() async throws {
            let pace =
                atOnce ? .atOnce : KeyPace(overlap: KeysCommand.overlapSeconds(overlap))
            try await KeysCommand.withAdvice {
                try await withConnection(to: try database.resolve()) { connection in
                    try await KeyStore.recordingFailures(
                        of: .retireKey, to: kid, by: .thisTerminal, on: connection
                    ) {
                        try await KeyStore.retire(kid, pace, by: .thisTerminal, on: connection)
                    }
                }
            }
            print(
                atOnce
                    ? "key \(kid) is no longer published"
                    : "key \(kid) stops signing, and retires after its last token")
        }
    }

    struct Reseal: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reseal",
            abstract: "Seals all keys with a new master key.",
            discussion: """
                First give every replica of Auth both master keys, the new one as \
                OVERSYNC_AUTH_MASTER_KEY and the former as OVERSYNC_AUTH_MASTER_KEY_PREVIOUS; then \
                run this with both; then take the former away.
                """)

        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let (resealed, lost) = try await KeysCommand.change(
                .resealKeys, try database.resolve()
            ) {
                try await $0.reseal(on: $1)
            }
            print("\(resealed) keys sealed with the new master key")
            for kid in lost { print("retired key \(kid) opens with neither, and stays as it is") }
        }
    }

    private static func overlapSeconds(_ overlap: Age?) -> Double {
        overlap.map { Double($0.seconds) } ?? KeyPace.standardOverlapSeconds
    }

    /// Lends the keys with the master keys of the environment.
    private static func change<Value>(
        _ action: AuditAction, _ database: PostgresConfiguration,
        _ body: (KeyStore, PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let settings = Configuration()
        let seals = KeySeals(
            current: try settings.value(TokenSettings.masterKey),
            previous: try settings.optional(TokenSettings.previousMasterKey))
        let store = KeyStore(seals, by: .thisTerminal)
        return try await withAdvice {
            try await withConnection(to: database) { connection in
                try await KeyStore.recordingFailures(
                    of: action, to: "keys", by: .thisTerminal, on: connection
                ) { try await body(store, connection) }
            }
        }
    }

    private static func withAdvice<Value>(
        _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let refusal as KeyRefusal {
            throw StackError("\(refusal)")
        }
    }
}
