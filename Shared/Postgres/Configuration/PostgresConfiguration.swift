import CLibPQ

/// How to reach one database, and how a session there behaves.
package struct PostgresConfiguration: Sendable {
    /// How session settings reach the server.
    package enum SettingsDelivery: Sendable {
        /// In the start-up packet: no round trip. Some poolers refuse it.
        case startupOptions
        /// As `SET` right after connecting: works behind a pooler that keeps sessions, too.
        case afterConnect
        /// With each transaction, for a pooler that keeps no sessions. Also where the role brings them (`ALTER ROLE … SET`):
        /// a session that the pooler opened before that knows nothing of it, and no session can speak for the next one.
        case eachTransaction
    }

    /// What every session of a service is set to, in addition to its timeouts.
    ///
    /// Values are stored and read back as text: every session must read and write them alike,
    /// whatever its role or database is set to. The order of day and month, signs of intervals and
    /// the decimal point of money change what a text means; digits of floats and the form of bytes,
    /// what comes of a value. The order is part of `DateStyle`, and not of `ISO`.
    ///
    /// Compiling a plan takes longer than any of the services' statements. A plan that was made
    /// while a table had one page would read all of it, and stay when it has thousands: the checks
    /// of foreign keys, too, are planned once a session.
    package static let serviceSession = [
        "TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres",
        "bytea_output": "hex", "extra_float_digits": "1", "lc_monetary": "C",
        "standard_conforming_strings": "on", "array_nulls": "on", "xmloption": "content",
        "jit": "off", "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off",
    ]

    /// A server whose host is gone, or that a network no longer reaches, is given up within this: the kernel would
    /// wait for a quarter of an hour. An idle connection is asked for a sign of life. All in seconds, the last in
    /// milliseconds; a connection string may say otherwise, and a local socket has no use for them.
    private static let liveness = [
        "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    ]

    /// libpq's connection keywords, as in a connection string. Holds the password: never print it.
    package var keywords: [String: String]
    /// Asked for the password before each attempt to connect; nil leaves the one in `keywords`.
    package var password: (@Sendable () -> String?)?
    package var applicationName: String?
    /// Settings of every session, for example `statement_timeout`.
    package var sessionSettings: [String: String]
    package var settingsDelivery = SettingsDelivery.startupOptions
    /// How long one attempt to connect may take, its TLS and authentication included.
    package var connectTimeout: Duration = .seconds(5)
    /// How long a server has to stop what was cancelled or is late. A call to one that does not is
    /// over that much later than its deadline, and the connection is closed.
    package var interruptionGrace = Interruption.grace
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
        if let password = password?() { all["password"] = password }
        all["client_encoding"] = "UTF8"
        all.merge(Self.liveness) { given, _ in given }
        if let applicationName { all["application_name"] = applicationName }
        // Kerberos encryption is tried first by default and costs a failed look-up per connection.
        all["gssencmode"] = all["gssencmode"] ?? "disable"
        if settingsDelivery == .startupOptions, !sessionSettings.isEmpty {
            let given = all["options"].map { [$0] } ?? []
            all["options"] = (given + startupOptions).joined(separator: " ")
        }
        return all
    }

    /// Raises the limit up to which glibc keeps freed memory of a back end for its next statement:
    /// it follows the largest block that was freed.
    ///
    /// At the limit of the start, each upload gives its heap back to the kernel and takes it again,
    /// page by page, which is a fifth of the CPU of a small one. A session keeps up to 8 MB so.
    private static let memoryStatement =
        "SELECT pg_catalog.octet_length(pg_catalog.repeat(pg_catalog.repeat('x', 4000), 1000))"

    /// The statements that set the session up after connecting; empty when there is nothing to do.
    ///
    /// A pooler that keeps no sessions would run them on any back end.
    var openingScript: String {
        guard settingsDelivery != .eachTransaction else { return "" }
        return (settingStatements + [Self.memoryStatement]).joined(separator: "; ")
    }

    /// What makes the settings that are not start-up options.
    private var settingStatements: [String] {
        let settings = settingsDelivery == .afterConnect ? sortedSettings : []
        return settings.map { name, value in
            "SELECT pg_catalog.set_config(\(Self.literal(name)), \(Self.literal(value)), false)"
        }
    }

    /// The statements that give a session the settings back that it was opened with; empty where
    /// sessions are a pooler's.
    var restoringScript: String {
        guard settingsDelivery != .eachTransaction else { return "" }
        return (["RESET ALL"] + settingStatements).joined(separator: "; ")
    }

    /// Sets them for the transaction that it is the first statement of; nil when they do not go with transactions.
    var settingsCommand: Command? {
        guard settingsDelivery == .eachTransaction, !sessionSettings.isEmpty else { return nil }
        let calls = sortedSettings.map { name, value in
            "pg_catalog.set_config(\(Self.literal(name)), \(Self.literal(value)), true)"
        }
        return Command(
            Statement(name: "transaction_settings", sql: "SELECT \(calls.joined(separator: ", "))"))
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
