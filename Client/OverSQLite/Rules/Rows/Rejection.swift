import GRDB

/// Why a row cannot be taken, by this device or by the server.
struct Rejection: Hashable, Sendable {
    /// The protocol's reason, or one of ours below.
    let reason: String
    /// For people; never parsed.
    let message: String?

    /// The row's key has no form on the wire, so no change can name the row.
    static func unsendableKey(_ key: DatabaseValue, of form: KeyForm) -> Rejection {
        Rejection(reason: "unsendable_key", message: words(for: key, of: form))
    }

    private static func words(for key: DatabaseValue, of form: KeyForm) -> String {
        switch (form, key.storage) {
        case (.uuidText, .blob):
            "the key is a BLOB, and its column is not declared BLOB: have the record write its UUIDs "
                + "as text (GRDB writes them as bytes unless the record's "
                + "databaseUUIDEncodingStrategy says otherwise), or declare the column BLOB"
        case (.uuidText, _): "the key is no UUID, written as text"
        case (.uuidBlob, .string):
            "the key is text, and its column is declared BLOB: have the record write its UUIDs as "
                + "16 bytes, or declare the column TEXT"
        case (.uuidBlob, _): "the key is no UUID, written as 16 bytes"
        case (.text, _): "the key is no text of 1 to \(KeyForm.maximumTextBytes) bytes"
        }
    }

    /// What the server says about a row, with words of ours where it has none and they help.
    static func byServer(reason: String, message: String?) -> Rejection {
        guard reason == "fk_missing", message?.isEmpty ?? true else {
            return Rejection(reason: reason, message: message)
        }
        return Rejection(
            reason: reason,
            message:
                "a row that it refers to is not on the server: it was refused too, was kept on "
                + "this device, or its table is not among the engine's tables")
    }

    /// A value has no form on the wire.
    static func unsendableValue(column: String, _ why: String) -> Rejection {
        Rejection(reason: "unsendable_value", message: "\(column): \(why)")
    }

    /// More than a request may hold.
    static let tooLarge = Rejection(
        reason: "too_large", message: "the gateway takes no row so large")

    /// The app's resolver threw.
    static func resolverFailed(_ error: any Error) -> Rejection {
        Rejection(reason: "resolver_failed", message: "\(error)")
    }
}
