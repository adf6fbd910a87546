import GRDB

/// How the metadata stores a key's spelling: NULL stands for the wire's spelling, which most rows
/// use. Numbers and bytes always differ from it, so that SQL finds their rows by what is stored.
extension KeyForm {
    /// The key as a row spells it.
    ///
    /// - Parameter stored: the spelling that the metadata holds.
    func spelled(_ stored: DatabaseValue, for key: DeviceRowKey) -> DatabaseValue {
        stored.isNull ? local(key) : stored
    }

    /// Whether a stored spelling can be that of the key, in any form that the column may have had.
    static func mayBe(_ stored: DatabaseValue, spellingOf key: DeviceRowKey) -> Bool {
        stored.isNull || key.wire.hasPrefix(unsendableMark)
            || [.uuidText, .uuidBlob, .text, .integer].contains { (form: KeyForm) in
                form.key(fromLocal: stored) == key
            }
    }

    /// Marks a key in the queue that cannot be sent. The row is kept and shown.
    static let unsendableMark = "?"

    /// The spelling to store in the metadata.
    static func stored(_ local: DatabaseValue, for key: DeviceRowKey) -> DatabaseValue {
        isWire(local, key) ? .null : local
    }

    /// Whether a row spells its key like the wire.
    static func isWire(_ local: DatabaseValue, _ key: DeviceRowKey) -> Bool {
        guard case .string(let text) = local.storage else { return false }
        return text == key.wire
    }

    /// SQL for the spelling of a row in a metadata table, qualified with the table's name.
    static func spelledSQL(in books: String) -> String { "coalesce(\(books).local, \(books).key)" }
}
