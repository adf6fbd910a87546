import Model
import ServiceKit
import Synchronization

/// The back ends that may ask for tokens. Read again when their file changes.
final class ClientBook: Sendable {
    static let setting = Setting.secret(
        "OVERSYNC_AUTH_CLIENTS",
        "back ends that may ask for tokens, as YAML; unset lets none")

    private let text: Mutex<ExactText?>
    private let clients: Mutex<[String: TokenClient]>
    /// The longest lifetime of a client that names none, in seconds.
    private let lifetime: Int

    init(_ configuration: Configuration, lifetime: Int) throws(ConfigurationError) {
        self.lifetime = lifetime
        let given = try configuration.optional(Self.setting)
        clients = Mutex(try Self.parse(given, lifetime))
        text = Mutex(given.map { ExactText($0) })
    }

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
        return true
    }

    /// What no single value shows, for `--check`.
    static func problems(_ configuration: Configuration) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            _ = try parse(try configuration.optional(setting), 1)
            return []
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
