import Model
import Postgres
import Sidecar

/// What keeps a statement to one user's rows.
enum Confinement: Sendable {
    /// It names a scope and the user, bound from the token, and finds nothing where they do not
    /// belong together.
    case named
    /// It names the user, bound from the token: its text has this condition.
    case user(String)
    /// It names a scope, which is locked and was found to be the user's: its text has this
    /// condition.
    case scope(String)
    /// Administrators alone cause it.
    case administrators
    /// It concerns no user's rows.
    case nobodysRows

    /// The part of the text that does it, if the text does.
    var condition: String? {
        switch self {
        case .named: NamedScope.condition("s")
        case .user(let condition), .scope(let condition): condition
        case .administrators, .nobodysRows: nil
        }
    }
}

/// bob, who knows ann's keys and the names of her devices.
struct Stranger: Sendable {
    static let user = "bob"
    static let device = "phone"
    static let victimsDevice = "\(Victim.mark)-phone"

    let scope: ScopeID
    /// The number that is bound as the scope of this user: one's own, or the victim's, as a service
    /// may remember it after a restore.
    var claimed: ScopeID
    let source: Int32
    let failure: Int64
    let tables: [TableName: TableID]

    init(in database: SyncedDatabase) async throws {
        try await database.upload(
            Self.user, device: Self.device, change(1, "INSERT", "notes", id("e1"), "{}"),
            change(2, "INSERT", "refusing", id("e2"), #"{"word":"bad"}"#))
        func number(_ sql: String) async throws -> Int64 {
            Int64(try await database.value(sql) ?? "") ?? 0
        }
        let scopes = "SELECT scope_id FROM sync.scope WHERE user_id = '\(Self.user)'"
        scope = try await number("SELECT scope_id::text FROM (\(scopes)) AS s")
        claimed = scope
        source = Int32(
            try await number(
                "SELECT source_no::text FROM sync.source WHERE scope_id = (\(scopes))"))
        failure = try await number(
            "SELECT id::text FROM sync.materialize_failures WHERE scope_id = (\(scopes))")
        tables = Dictionary(
            uniqueKeysWithValues: try await database.source.catalog().tables.map {
                ($0.name, $0.id)
            })
    }

    /// One's own scope.
    var named: NamedScope { NamedScope(id: scope, user: UserID(Self.user)) }

    /// Binds a scope and the user it is said to belong to.
    func claim(_ bindings: inout Bindings) {
        NamedScope(id: claimed, user: UserID(Self.user)).bind(to: &bindings)
    }

    /// All keys of ann's, and where they are.
    var victimsRows: [(table: TableID, key: [UInt8])] {
        let uuids = [("notes", "a"), ("items", "b"), ("links", "d"), ("refusing", "c")]
        let texts = ["tags", "prefs"]
        return [1, 2].flatMap { n in
            uuids.map { (number(of: $0.0), Self.bytes(ofUUID: id("\($0.1)\(n)"))) }
                + texts.map { (number(of: $0), Array("\(Victim.textKey)\(n)".utf8)) }
        }
    }

    func number(of table: String) -> TableID { tables[TableName(schema: "s", table: table)] ?? 0 }

    static func bytes(ofUUID text: String) -> [UInt8] {
        let digits = Array(text.filter { $0 != "-" })
        return stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(digits[$0...($0 + 1)]), radix: 16) ?? 0
        }
    }
}
