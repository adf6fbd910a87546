import Digests
import Synchronization

/// Which tables each user may read (`Oversync-Tables`).
struct GatewayAccess: Sendable {
    /// What a device sends as long as it knows no tables.
    static let unknown = "unknown"
    /// The digits of a fingerprint.
    private static let digits = 16

    /// Names of tables that are closed, by user.
    private var closed: [String: Set<String>] = [:]

    mutating func close(_ table: String, to user: String) {
        closed[user, default: []].insert(table.lowercased())
    }

    mutating func open(_ table: String, to user: String) {
        closed[user]?.remove(table.lowercased())
    }

    func mayRead(_ table: String, _ user: String) -> Bool {
        closed[user]?.contains(table) != true
    }

    /// Of table names, as the real server makes it.
    static func fingerprint(_ names: [String]) -> String {
        let text = Array(names.map { $0 + "\n" }.joined().utf8)
        let number = text.withUnsafeBufferPointer { SHA256.prefix(of: $0) }
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: Self.digits - digits.utf8.count) + digits
    }

    /// - Throws: the refusal of a header that is malformed.
    static func check(_ told: String?) throws(GatewayError) {
        guard let told, !told.isEmpty, told != unknown else { return }
        let isFingerprint =
            told.utf8.count == digits
            && told.utf8.allSatisfy { 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }
        guard isFingerprint else {
            throw .invalid(
                "Oversync-Tables must be 16 hexadecimal digits, as an answer gave it, or \(unknown)"
            )
        }
    }
}

extension InMemoryGateway {
    /// Closes a table to a user, like a server whose configuration has changed: pages no longer
    /// contain its rows, and changes to it are rejected as `forbidden_table`.
    ///
    /// The gateway must know its tables: only then does it tell devices which ones are open.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - user: the user who may not read it.
    public func close(_ table: String, to user: String = "user") {
        state.withLock { $0.access.close(table, to: user) }
        wakeWaiting()
    }

    /// Opens a table to a user again.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - user: the user who may read it.
    public func open(_ table: String, to user: String = "user") {
        state.withLock { $0.access.open(table, to: user) }
        wakeWaiting()
    }
}

extension InMemoryGateway.State {
    /// The tables that the caller may read, if the request asks for it.
    func tables(of call: Call) -> String? {
        guard !isReference, call.tables?.isEmpty == false else { return nil }
        return names(call).map(GatewayAccess.fingerprint)
    }

    /// Whether the caller gets a table's rows.
    func mayRead(_ table: String, _ call: Call) -> Bool {
        (call.asksForIntegers || store.tables[table]?.key != .integer)
            && access.mayRead(table, call.user)
    }

    /// The tables that the caller may read, with the schema; nil from a gateway that serves any.
    private func names(_ call: Call) -> [String]? {
        store.tables.all.map { tables in
            tables.map(\.name).filter { mayRead($0, call) }.map { "\(store.schema).\($0)" }.sorted()
        }
    }

    /// Whether the device takes other tables for readable than are.
    func areOthers(_ call: Call) -> Bool {
        tables(of: call).map { $0 != call.tables } ?? false
    }
}

extension GatewayError {
    static let tablesChanged = GatewayError(
        status: 409, code: "tables_changed",
        message: "The tables that this device may read have changed; read /sync/capabilities")
}

extension InMemoryGateway.State {
    /// The members of `/sync/capabilities` that name tables, if the request asks for them.
    func readable(of call: Call) -> String {
        guard tables(of: call) != nil, let names = names(call) else { return "" }
        func list(_ names: [String]) -> String {
            names.map { "\"\($0)\"" }.joined(separator: ",")
        }
        let asked = (call.query["tables"] ?? "").split(separator: ",").map(String.init)
        let isThere = call.query["schema"] == store.schema
        let absent = asked.filter { !isThere || !store.tables.has($0) }
        return #","readable":[\#(list(names))],"unregistered":[\#(list(absent))]"#
    }
}
