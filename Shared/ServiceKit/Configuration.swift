import Foundation

/// The process's configuration: the environment, with `<KEY>_FILE` naming a file that holds the value.
package struct Configuration: Sendable {
    /// What the name of a variable that names a file ends with.
    static let fileSuffix = "_FILE"

    let environment: [String: String]

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// The value of a key that must be set or has a default.
    package func value<Value>(_ setting: Setting<Value>) throws(ConfigurationError) -> Value {
        if let value = try optional(setting) { return value }
        throw ConfigurationError(key: setting.key, reason: "is not set: \(setting.help)")
    }

    /// The value of a key, its default, or nil. A file is read again each time.
    package func optional<Value>(_ setting: Setting<Value>) throws(ConfigurationError) -> Value? {
        guard let text = try raw(setting.key) else { return setting.fallback }
        do {
            return try setting.parse(text)
        } catch {
            throw ConfigurationError(key: setting.key, reason: error.reason)
        }
    }

    /// Whether a key is configured, by a file or by itself, and not by its default.
    package func isSet(_ key: String) -> Bool { file(of: key) != nil || text(key) != nil }

    /// The file that holds a key's value, if one does.
    package func file(of key: String) -> String? { text(key + Self.fileSuffix) }

    /// What a setting says, as text; nil where it is secret or has its default.
    package func shownText(of setting: any DescribedSetting) -> String? {
        setting.isSecret ? nil : try? raw(setting.key)
    }

    /// Where a key's value comes from, in words for an operator. Never the value itself, which may be a secret.
    ///
    /// - Parameter known: settings whose defaults can be shown.
    package func source(of key: String, among known: [any DescribedSetting] = []) -> String {
        if let path = file(of: key) { return "file \(path), named by \(key + Self.fileSuffix)" }
        if text(key) != nil { return "environment variable \(key)" }
        guard let standard = known.first(where: { $0.key == key })?.defaultText else {
            return "not set"
        }
        return "default \(standard)"
    }

    private func raw(_ key: String) throws(ConfigurationError) -> String? {
        guard let path = file(of: key) else { return text(key) }
        let fileKey = key + Self.fileSuffix
        if text(key) != nil {
            throw ConfigurationError(key: key, reason: "and \(fileKey) are both set; keep one")
        }
        do {
            return try SettingFile.text(of: path)
        } catch {
            throw ConfigurationError(key: fileKey, reason: error.reason)
        }
    }

    /// An empty value counts as not set.
    private func text(_ variable: String) -> String? {
        environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }
}
