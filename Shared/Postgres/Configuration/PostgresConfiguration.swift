import CLibPQ

/// How to reach one database, and how a session there behaves.
package struct PostgresConfiguration: Sendable {
    /// How session settings reach the server.
    package enum SettingsDelivery: Sendable {
        /// In the start-up packet: no round trip. Some poolers refuse it.
        case startupOptions
        /// As `SET` right after connecting.
        case afterConnect
    }

    /// libpq's connection keywords, as in a connection string. Holds the password: never print it.
    package var keywords: [String: String]
    package var applicationName: String?
    /// Settings of every session, for example `statement_timeout`.
    package var sessionSettings: [String: String]
    package var settingsDelivery = SettingsDelivery.startupOptions
    /// How long one attempt to connect may take, its TLS and authentication included.
    package var connectTimeout: Duration = .seconds(5)
    /// False sends every statement unnamed, which is safe behind a transaction pooler.
    package var usesNamedStatements = true
    /// How many prepared statements one connection keeps; the least recently used go first.
    package var maximumPreparedStatements = 256

    package init(
        keywords: [String: String], applicationName: String? = nil,
        sessionSettings: [String: String] = [:]
    ) {
        self.keywords = keywords
        self.applicationName = applicationName
        self.sessionSettings = sessionSettings
    }

    /// Accepts what libpq accepts: `postgresql://…` or `host=… dbname=…`.
    ///
    /// - Throws: `.misuse` when libpq cannot parse it. The text does not quote the input, which may
    ///   hold a password.
    package init(
        url: String, applicationName: String? = nil, sessionSettings: [String: String] = [:]
    ) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            PQfreemem(message)
            throw PostgresError(.misuse("not a PostgreSQL connection string"))
        }
        defer { PQconninfoFree(options) }
        var keywords: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                keywords[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        self.init(
            keywords: keywords, applicationName: applicationName,
            sessionSettings: sessionSettings)
    }

    /// The keywords that are given to libpq, with our defaults where the owner said nothing.
    var connectionKeywords: [String: String] {
        var all = keywords
        all["client_encoding"] = "UTF8"
        if let applicationName { all["application_name"] = applicationName }
        // Kerberos encryption is tried first by default and costs a failed look-up per connection.
        all["gssencmode"] = all["gssencmode"] ?? "disable"
        if settingsDelivery == .startupOptions, !sessionSettings.isEmpty {
            let given = all["options"].map { [$0] } ?? []
            all["options"] = (given + startupOptions).joined(separator: " ")
        }
        return all
    }

    /// The statements that set the session up after connecting; empty when there is nothing to do.
    var settingsScript: String {
        guard settingsDelivery == .afterConnect else { return "" }
        return sortedSettings.map { name, value in
            "SELECT pg_catalog.set_config(\(Self.literal(name)), \(Self.literal(value)), false)"
        }.joined(separator: "; ")
    }

    private var startupOptions: [String] {
        sortedSettings.map { name, value in
            let escaped = value.flatMap { character -> [Character] in
                character == " " || character == "\\" ? ["\\", character] : [character]
            }
            return "-c \(name)=\(String(escaped))"
        }
    }

    private var sortedSettings: [(String, String)] {
        sessionSettings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func literal(_ text: String) -> String {
        let escaped = text.flatMap { character -> [Character] in
            character == "'" || character == "\\" ? [character, character] : [character]
        }
        return "E'\(String(escaped))'"
    }
}

/// Where it leads, without credentials.
extension PostgresConfiguration: CustomStringConvertible {
    package var description: String {
        let host = keywords["host"] ?? keywords["hostaddr"] ?? "local socket"
        return "\(host):\(keywords["port"] ?? "5432")/\(keywords["dbname"] ?? "")"
    }
}

extension PostgresConfiguration: CustomDebugStringConvertible, CustomReflectable {
    package var debugDescription: String { description }

    /// `dump` and string interpolation of an enclosing value print only this.
    package var customMirror: Mirror { Mirror(self, children: ["target": description]) }
}
