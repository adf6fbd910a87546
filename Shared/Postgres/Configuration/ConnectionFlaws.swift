import CLibPQ
import Glibc

extension PostgresConfiguration {
    /// Where nothing ever listens: libpq checks its keywords before it tries to connect there.
    private static let nowhere = "/dev/null/oversync"
    private static let portBounds = 1...65_535
    /// Longest path of a Unix socket, in bytes: the kernel's `sun_path` without its final zero.
    private static let maximumSocketPathBytes = 107

    /// What keeps libpq from ever connecting, whatever the server does. Connects nowhere.
    ///
    /// No flaw quotes a host, port or password: of a connection string that is split in the wrong place, each of them
    /// may be a part of the password.
    package func flaws() -> [String] {
        let flaws = hostFlaws + numberFlaws + fileFlaws
        // libpq stops at its first.
        return flaws + [refusedKeyword].compactMap(\.self)
    }

    // MARK: - What libpq checks only while it connects

    private var hostFlaws: [String] {
        let hosts = list("host")
        let addresses = list("hostaddr")
        let ports = list("port")
        var flaws: [String] = []
        let targets = max(hosts.count, addresses.count, 1)
        if !hosts.isEmpty, !addresses.isEmpty, hosts.count != addresses.count {
            flaws.append("has \(hosts.count) hosts but \(addresses.count) entries in hostaddr")
        }
        if ports.count > 1, ports.count != targets {
            flaws.append("has \(ports.count) ports for \(targets) hosts")
        }
        if !ports.allSatisfy({ $0.isEmpty || Self.isPort($0) }) {
            flaws.append(
                "has a port that is not a number from \(Self.portBounds.lowerBound) to "
                    + "\(Self.portBounds.upperBound); special characters in a user's name or "
                    + "password must be percent-encoded")
        }
        if !addresses.allSatisfy({ $0.isEmpty || Self.isAddress($0) }) {
            flaws.append("has a hostaddr that is not an IP address")
        }
        if hosts.contains(where: Self.isTooLongASocket) {
            flaws.append("has a socket directory whose path is too long")
        }
        return flaws
    }

    private func list(_ keyword: String) -> [Substring] {
        guard let value = keywords[keyword], !value.isEmpty else { return [] }
        return value.split(separator: ",", omittingEmptySubsequences: false)
    }

    private static func isPort(_ text: Substring) -> Bool {
        number(String(text)).map(portBounds.contains) ?? false
    }

    /// libpq allows white space around a number.
    private static func number(_ text: String) -> Int? {
        let words = text.split { $0.isWhitespace }
        return words.count == 1 ? Int(words[0]) : nil
    }

    private static func isAddress(_ text: Substring) -> Bool {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        defer { if let list { freeaddrinfo(list) } }
        return getaddrinfo(String(text), nil, &hints, &list) == 0
    }

    private static func isTooLongASocket(_ host: Substring) -> Bool {
        (host.hasPrefix("/") || host.hasPrefix("@"))
            && host.utf8.count + "/.s.PGSQL.65535".utf8.count > maximumSocketPathBytes
    }

    private var numberFlaws: [String] {
        let whole = [
            "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval",
            "keepalives_count", "tcp_user_timeout",
        ]
        return whole.compactMap { keyword in
            guard let value = keywords[keyword], !value.isEmpty,
                Self.number(value).flatMap(Int32.init(exactly:)) == nil
            else { return nil }
            return "has \(keyword)=\(value), which must be a whole number"
        }
    }

    /// Files that are named must be there: without its root certificate, a connection that should be verified never
    /// comes about.
    private var fileFlaws: [String] {
        var flaws: [String] = []
        for keyword in ["sslrootcert", "sslcert", "sslkey", "sslcrl"] {
            guard let path = keywords[keyword], !path.isEmpty, !isWord(path, for: keyword) else {
                continue
            }
            var info = stat()
            if stat(path, &info) != 0 || access(path, R_OK) != 0 {
                flaws.append(
                    "has \(keyword)=\(path), which cannot be read: \(String(cString: strerror(errno)))"
                )
            } else if keyword == "sslkey", !isPrivate(info) {
                flaws.append(
                    "has sslkey=\(path), which others can read: chmod 0600 it (0640 if root owns it)"
                )
            }
        }
        return flaws
    }

    /// Values that name no file: `system` means the certificates of the system, `engine:key` one of an OpenSSL engine.
    private func isWord(_ value: String, for keyword: String) -> Bool {
        (keyword == "sslrootcert" && value == "system")
            || (keyword == "sslkey" && !value.hasPrefix("/") && value.contains(":"))
    }

    /// libpq refuses keys that others could read (its manual, "Client Certificates").
    private func isPrivate(_ info: stat) -> Bool {
        let others = info.st_mode & (info.st_uid == 0 ? 0o027 : 0o077)
        return others == 0
    }

    // MARK: - What libpq checks before it connects

    /// libpq's own sentence about the first keyword that it refuses.
    private var refusedKeyword: String? {
        var keywords = connectionKeywords
        // Those are checked above, and connecting must fail at once.
        for keyword in ["hostaddr", "port", "password"] { keywords[keyword] = nil }
        keywords["host"] = Self.nowhere
        let pairs = keywords.sorted { $0.key < $1.key }
        let names = pairs.map { strdup($0.key) }
        let values = pairs.map { strdup($0.value) }
        defer { for copy in names + values { free(copy) } }
        var nameList = names.map { UnsafePointer($0) } + [nil]
        var valueList = values.map { UnsafePointer($0) } + [nil]
        let connection = PQconnectStartParams(&nameList, &valueList, 0)
        defer { PQfinish(connection) }
        guard PQstatus(connection) == CONNECTION_BAD,
            let message = PQerrorMessage(connection).map({ String(cString: $0) }),
            !message.contains(Self.nowhere)
        else { return nil }
        let sentence = message.split(separator: "\n").first.map(String.init) ?? "unknown reason"
        return "cannot be used: \(sentence)"
    }
}
