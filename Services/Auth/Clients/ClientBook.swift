import Model
import ServiceKit
import Synchronization
import Telemetry

/// The back ends that may ask for tokens. Read again when their file changes.
final class ClientBook: Sendable {
    static let setting = Setting.secret(
        "OVERSYNC_AUTH_CLIENTS",
        "back ends that may ask for tokens, as YAML; unset lets none")

    /// One for each time that other clients were read.
    let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation
    private let text: Mutex<ExactText?>
    private let clients: Mutex<[String: TokenClient]>
    /// The longest lifetime of a client that names none, in seconds.
    private let lifetime: Int

    init(_ configuration: Configuration, lifetime: Int) throws(ConfigurationError) {
        self.lifetime = lifetime
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        let given = try configuration.optional(Self.setting)
        clients = Mutex(try Self.parse(given, lifetime))
        text = Mutex(given.map { ExactText($0) })
    }

    /// What the audit may know of the clients: their names, and for each a text that is another one
    /// when anything of it changes. Without the key nobody can try what it was made of.
    func shown(by key: String) -> [(name: String, text: String)] {
        let all = clients.withLock { $0 }.sorted { $0.key < $1.key }
        var shown = all.prefix(Self.maximumShown).map { id, client in
            ("\(Self.setting.key) \(id)", client.digest(by: key))
        }
        let others = all.dropFirst(Self.maximumShown)
        if !others.isEmpty {
            let texts = others.map { $1.digest(by: key) }
            shown.append(
                (
                    "\(Self.setting.key), others",
                    "\(others.count) clients, hash \(shortHash(texts.joined()))"
                ))
        }
        return shown
    }

    /// Clients that the audit shows one by one.
    private static let maximumShown = 200

    subscript(_ id: String) -> TokenClient? { clients.withLock { $0[id] } }

    /// Reads them again; those that are there stay if what it reads cannot be used.
    ///
    /// - Returns: whether anything changed.
    func reload(_ configuration: Configuration) throws(ConfigurationError) -> Bool {
        let given = try configuration.optional(Self.setting)
        let exact = given.map { ExactText($0) }
        guard exact != text.withLock({ $0 }) else { return false }
        let fresh = try Self.parse(given, lifetime)
        clients.withLock { $0 = fresh }
        text.withLock { $0 = exact }
        changed.yield()
        return true
    }

    /// What no single value shows, for `--check`.
    static func problems(_ configuration: Configuration) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            guard let text = try configuration.optional(setting) else { return [] }
            return ClientFile.read(text, lifetime: 1).problems.map {
                ConfigurationError(key: setting.key, reason: "\($0)")
            }
        } catch {
            return [error]
        }
    }

    private static func parse(
        _ text: String?, _ lifetime: Int
    ) throws(ConfigurationError) -> [String: TokenClient] {
        guard let text else { return [:] }
        do throws(ClientFile.Problem) {
            return try ClientFile.parse(text, lifetime: lifetime)
        } catch {
            throw ConfigurationError(key: setting.key, reason: "\(error)")
        }
    }
}
