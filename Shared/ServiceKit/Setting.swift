import Foundation

/// One configuration key: its environment variable, what it means, its default and its bounds.
///
/// Settings are declared as static values beside the service that reads them. Each service lists those it
/// reads; a test holds `Docs/configuration.md` against these lists.
package struct Setting<Value: Sendable>: DescribedSetting {
    package let key: String
    package let help: String
    package let isSecret: Bool
    package let allowed: String
    let fallback: Value?
    let parse: @Sendable (String) throws(SettingProblem) -> Value

    init(
        _ key: String, _ help: String, isSecret: Bool = false, allowed: String, fallback: Value?,
        parse: @escaping @Sendable (String) throws(SettingProblem) -> Value
    ) {
        self.key = key
        self.help = help
        self.isSecret = isSecret
        self.allowed = allowed
        self.fallback = fallback
        self.parse = parse
    }
}

/// What a person who sets a key wants to know of it.
package protocol DescribedSetting: Sendable {
    var key: String { get }
    var help: String { get }
    var isSecret: Bool { get }
    /// The values that it takes, with their unit.
    var allowed: String { get }
    /// As it would be written; nil where there is none.
    var defaultText: String? { get }
}

extension Setting {
    package var defaultText: String? { fallback.map { "\($0)" } }
}

/// What is wrong with a value, in words that follow the key.
package struct SettingProblem: Error, Sendable {
    package let reason: String
    package init(_ reason: String) { self.reason = reason }
}

/// A configuration that cannot be used: it names the key and says what to do.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let key: String
    package let reason: String

    package init(key: String, reason: String) {
        self.key = key
        self.reason = reason
    }

    package var description: String { "\(key) \(reason)" }
}

extension Setting<Int> {
    /// A whole number inside `bounds`; `unit` stands in the error text.
    package static func integer(
        _ key: String, _ help: String, default fallback: Int? = nil, in bounds: ClosedRange<Int>,
        unit: String = ""
    ) -> Setting {
        let range =
            "\(bounds.lowerBound) to \(bounds.upperBound)" + (unit.isEmpty ? "" : " " + unit)
        return Setting(key, help, allowed: range, fallback: fallback) {
            text throws(SettingProblem) in
            guard let value = Int(text) else {
                throw SettingProblem("must be a whole number, not \"\(text)\"")
            }
            guard bounds.contains(value) else {
                throw SettingProblem("must be \(range), not \(value)")
            }
            return value
        }
    }
}

extension Setting<Bool> {
    package static func flag(_ key: String, _ help: String, default fallback: Bool = false)
        -> Setting
    {
        Setting(key, help, allowed: "true or false", fallback: fallback) {
            text throws(SettingProblem) in
            switch text.lowercased() {
            case "true", "1", "yes", "on": return true
            case "false", "0", "no", "off", "": return false
            default: throw SettingProblem("must be true or false, not \"\(text)\"")
            }
        }
    }
}

extension Setting<String> {
    package static func text(_ key: String, _ help: String, default fallback: String? = nil)
        -> Setting
    {
        Setting(key, help, allowed: "text", fallback: fallback) { text throws(SettingProblem) in
            text
        }
    }

    /// A value that never appears in logs or in `oversync config`; also read from the file `<key>_FILE`.
    package static func secret(
        _ key: String, _ help: String, minimumBytes: Int = 1, default fallback: String? = nil
    ) -> Setting {
        let allowed = minimumBytes > 1 ? "secret of at least \(minimumBytes) bytes" : "secret"
        return Setting(key, help, isSecret: true, allowed: allowed, fallback: fallback) {
            text throws(SettingProblem) in
            guard text.utf8.count >= minimumBytes else {
                throw SettingProblem("must be at least \(minimumBytes) bytes long")
            }
            return text
        }
    }
}

/// The process's configuration: the environment, with `<KEY>_FILE` naming a file that holds the value.
package struct Configuration: Sendable {
    private let environment: [String: String]

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// The value of a key that must be set or has a default.
    package func value<Value>(_ setting: Setting<Value>) throws(ConfigurationError) -> Value {
        if let value = try optional(setting) { return value }
        throw ConfigurationError(key: setting.key, reason: "is not set: \(setting.help)")
    }

    /// The value of a key, its default, or nil.
    package func optional<Value>(_ setting: Setting<Value>) throws(ConfigurationError) -> Value? {
        guard let text = try raw(setting.key) else { return setting.fallback }
        do {
            return try setting.parse(text)
        } catch {
            throw ConfigurationError(key: setting.key, reason: error.reason)
        }
    }

    private func raw(_ key: String) throws(ConfigurationError) -> String? {
        let fileKey = key + "_FILE"
        let direct = environment[key].flatMap { $0.isEmpty ? nil : $0 }
        guard let path = environment[fileKey], !path.isEmpty else { return direct }
        if direct != nil {
            throw ConfigurationError(key: key, reason: "and \(fileKey) are both set; keep one")
        }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw ConfigurationError(key: fileKey, reason: "names \(path), which cannot be read")
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
