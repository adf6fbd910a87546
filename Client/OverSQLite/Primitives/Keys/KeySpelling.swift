import GRDB

/// How the books keep the key as a row spells it: NULL stands for the spelling on the wire, which
/// most rows use.
extension KeyForm {
    /// The key as a row spells it.
    ///
    /// - Parameter stored: what the books have of the spelling.
    func spelled(_ stored: DatabaseValue, for key: DeviceRowKey) -> DatabaseValue {
        stored.isNull ? local(key) : stored
    }

    /// What the books keep of a spelling.
    static func stored(_ local: DatabaseValue, for key: DeviceRowKey) -> DatabaseValue {
        isWire(local, key) ? .null : local
    }

    /// Whether a row spells its key as the wire does.
    static func isWire(_ local: DatabaseValue, _ key: DeviceRowKey) -> Bool {
        guard case .string(let text) = local.storage else { return false }
        return text == key.wire
    }

    /// SQL for the spelling of a row of the books, which names its table.
    static func spelledSQL(in books: String) -> String { "coalesce(\(books).local, \(books).key)" }
}
