import Glibc
import Synchronization

/// Finds the addresses of the hosts in a connection string before libpq sees it.
///
/// libpq looks a name up on the thread that drives the connection, and each further host of a list while the
/// connection is under way: on the poller's thread, where a slow name server would hold up every connection of the
/// process. With an address for each name, libpq looks nothing up. The names stay, for certificates and `.pgpass`.
struct HostAddresses {
    /// The addresses of a name as text, in the order in which they are to be tried.
    typealias LookUp = @Sendable (_ name: String) throws(PostgresError) -> [String]

    /// Of one name; further ones are not tried.
    static let maximumAddresses = 16
    /// How long an address that did not answer at all is tried after the others.
    static let silence = Duration.seconds(30)

    private static let defaultPort = "5432"

    /// Addresses with ports, and when one let an attempt to connect pass its deadline.
    ///
    /// libpq tries the addresses of a list one after the other, and has no limit for each: after one that swallows
    /// everything, as a machine without power does, it never comes to the next. The next attempt then begins elsewhere.
    private static let silent = Mutex<[String: ContinuousClock.Instant]>([:])

    /// Blocks until the system has answered for each name.
    var lookUp: LookUp = Self.system

    /// An attempt to connect to this address has passed its deadline.
    static func rememberSilence(
        of address: String, port: String, now: ContinuousClock.Instant = .now
    ) {
        silent.withLock { silent in
            silent = silent.filter { now - $0.value < silence }
            silent["\(address) \(port)"] = now
        }
    }

    private static func isSilent(_ address: String, _ port: String) -> Bool {
        silent.withLock { $0["\(address) \(port)"].map { .now - $0 < silence } ?? false }
    }

    /// The keywords with `hostaddr` filled in. A host with several addresses is listed once for each.
    ///
    /// What libpq finds by itself stays untouched: socket directories, addresses that the owner gave, a host from the
    /// environment, and lists of different lengths, which libpq refuses with an explanation.
    ///
    /// - Throws: `.connectFailed` when no host of the list has an address.
    func adding(to keywords: [String: String]) throws(PostgresError) -> [String: String] {
        guard keywords["hostaddr"] == nil, let list = keywords["host"], !list.isEmpty else {
            return keywords
        }
        let hosts = Self.parts(list)
        let ports = keywords["port"].map(Self.parts) ?? []
        guard ports.count <= 1 || ports.count == hosts.count else { return keywords }
        var reachable: [(name: String, address: String, port: String)] = []
        var failure: PostgresError?
        for (index, host) in hosts.enumerated() {
            let port = ports.count > 1 ? ports[index] : ""
            if host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@") {
                reachable.append((host, "", port))
                continue
            }
            do {
                for address in try lookUp(host).prefix(Self.maximumAddresses) {
                    reachable.append((host, address, port))
                }
            } catch {
                failure = error
            }
        }
        if reachable.isEmpty { throw failure ?? PostgresError(.connectFailed(Self.unknown(list))) }
        if reachable.allSatisfy(\.address.isEmpty) { return keywords }
        let common = ports.count == 1 ? ports[0] : ""
        reachable = Self.answeringFirst(reachable) { entry in
            let port = entry.port.isEmpty ? common : entry.port
            return Self.isSilent(entry.address, port.isEmpty ? Self.defaultPort : port)
        }
        var all = keywords
        all["host"] = reachable.map(\.name).joined(separator: ",")
        all["hostaddr"] = reachable.map(\.address).joined(separator: ",")
        if ports.count > 1 { all["port"] = reachable.map(\.port).joined(separator: ",") }
        return all
    }

    private static func answeringFirst<Entry>(
        _ entries: [Entry], isSilent: (Entry) -> Bool
    ) -> [Entry] {
        let silent = entries.map(isSilent)
        return zip(entries, silent).filter { !$0.1 }.map(\.0)
            + zip(entries, silent).filter { $0.1 }.map(\.0)
    }

    private static func parts(_ list: String) -> [String] {
        list.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    private static func unknown(_ name: String, _ reason: String = "it has none") -> String {
        "could not translate host name \"\(name)\" to address: \(reason)"
    }

    private static func system(_ name: String) throws(PostgresError) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, nil, &hints, &first)
        guard status == 0 else {
            throw PostgresError(
                .connectFailed(unknown(name, String(cString: gai_strerror(status)))))
        }
        defer { freeaddrinfo(first) }
        var addresses: [String] = []
        var next = first
        while let entry = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let isNumeric = getnameinfo(
                entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0,
                NI_NUMERICHOST)
            if isNumeric == 0 {
                let digits = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
                addresses.append(String(decoding: digits, as: UTF8.self))
            }
            next = entry.ai_next
        }
        return addresses
    }
}
