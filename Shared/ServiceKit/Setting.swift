import Foundation
import Glibc
import Model

/// One configuration key: its environment variable, what it means, its default and its bounds.
///
/// Settings are declared as static values next to the service that reads them. Each service lists those it
/// reads; a test holds `Docs/configuration.md` against these lists.
package struct Setting<Value: Sendable>: DescribedSetting {
    package let key: String
    package let help: String
    package let isSecret: Bool
    package let isRequired: Bool
    package let allowed: String
    package let defaultText: String?
    let fallback: Value?
    let parse: @Sendable (String) throws(SettingProblem) -> Value

    /// - Parameter defaultText: what stands for the default in help texts; by default the default itself.
    init(
        _ key: String, _ help: String, isSecret: Bool = false, isRequired: Bool = false,
        allowed: String, fallback: Value?, defaultText: String? = nil,
        parse: @escaping @Sendable (String) throws(SettingProblem) -> Value
    ) {
        self.key = key
        self.help = help
        self.isSecret = isSecret
        self.isRequired = isRequired
        self.allowed = allowed
        self.fallback = fallback
        self.defaultText = defaultText ?? fallback.map { "\($0)" }
        self.parse = parse
    }

    package func problem(in configuration: Configuration) -> ConfigurationError? {
        do throws(ConfigurationError) {
            if isRequired {
                _ = try configuration.value(self)
            } else {
                _ = try configuration.optional(self)
            }
            return nil
        } catch {
            return error
        }
    }
}

/// What a person who sets a key wants to know of it.
package protocol DescribedSetting: Sendable {
    var key: String { get }
    var help: String { get }
    var isSecret: Bool { get }
    /// The service does not start without it.
    var isRequired: Bool { get }
    /// The values that it takes, with their unit.
    var allowed: String { get }
    /// As it would be written; nil where there is none.
    var defaultText: String? { get }
    /// What is wrong with the value that is configured.
    func problem(in configuration: Configuration) -> ConfigurationError?
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
    package static func text(
        _ key: String, _ help: String, default fallback: String? = nil, isRequired: Bool = false
    ) -> Setting {
        Setting(key, help, isRequired: isRequired, allowed: "text", fallback: fallback) {
            text throws(SettingProblem) in text
        }
    }

    /// The address of a listener: a name of a host, or its number.
    package static func host(
        _ key: String, _ help: String, default fallback: String
    ) -> Setting {
        Setting(key, help, allowed: "text", fallback: fallback) { text throws(SettingProblem) in
            // A name, 127.0.0.1 or ::1; the brackets of a URL are not part of it.
            // The name of an interface may follow an IPv6 address, after a %.
            var address = in6_addr()
            let isIPv6 = inet_pton(AF_INET6, String(text.prefix { $0 != "%" }), &address) == 1
            let isName =
                (1...253).contains(text.utf8.count)
                && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                    $0.wholeMatch(of: /[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?/) != nil
                }
            guard isIPv6 || isName else {
                throw SettingProblem(
                    "must be an address to listen on, such as 127.0.0.1, :: or localhost, without "
                        + "a port, not \(text.debugDescription)")
            }
            return text
        }
    }

    /// The name of a role in a token.
    package static func role(
        _ key: String, _ help: String, default fallback: String
    ) -> Setting {
        Setting(key, help, allowed: "text", fallback: fallback) { text throws(SettingProblem) in
            guard isRoleName(text) else {
                throw SettingProblem(
                    "must be 1 to 63 letters, digits, . _ : or -, not \(text.debugDescription)")
            }
            return text
        }
    }

    /// The path of a folder.
    package static func folder(
        _ key: String, _ help: String, default fallback: String
    ) -> Setting {
        Setting(key, help, allowed: "text", fallback: fallback) { text throws(SettingProblem) in
            guard !text.allSatisfy(\.isWhitespace),
                !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
            else {
                throw SettingProblem(
                    "must be the path of a folder, not \(text.debugDescription)")
            }
            return text
        }
    }

    /// A value that never appears in logs or in help texts.
    package static func secret(
        _ key: String, _ help: String, minimumBytes: Int = 1, default fallback: String? = nil,
        isRequired: Bool = false
    ) -> Setting {
        let allowed = minimumBytes > 1 ? "secret of at least \(minimumBytes) bytes" : "secret"
        return Setting(
            key, help, isSecret: true, isRequired: isRequired, allowed: allowed, fallback: fallback
        ) { text throws(SettingProblem) in
            guard text.utf8.count >= minimumBytes else {
                throw SettingProblem(
                    "must be at least \(minimumBytes) bytes long, not \(text.utf8.count)")
            }
            return text
        }
    }
}
