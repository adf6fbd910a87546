import GRDB

/// Why a change is rejected, by this device or by the server.
struct Rejection: Hashable, Sendable {
    /// The protocol's reason, or one of the library's below.
    let reason: String
    /// A text for people; never parsed.
    let message: String?

    /// The key cannot be represented on the wire, so no change can name the row.
    static func unsendableKey(_ key: DatabaseValue, of form: KeyForm) -> Rejection {
        Rejection(reason: "unsendable_key", message: words(for: key, of: form))
    }

    private static func words(for key: DatabaseValue, of form: KeyForm) -> String {
        switch (form, key.storage) {
        case (.uuidText, .blob):
            "the key is a BLOB, but its column is not declared BLOB: let the record write its "
                + "UUIDs as text (GRDB writes bytes unless the record's "
                + "databaseUUIDEncodingStrategy says otherwise), or declare the column BLOB"
        case (.uuidText, _):
            "the key is not a UUID: use one, or pass keyKind: .text for the table"
        case (.uuidBlob, .string):
            "the key is text, but its column is declared BLOB: let the record write its UUIDs as "
                + "16 bytes, or declare the column TEXT"
        case (.uuidBlob, _): "the key is not a UUID of 16 bytes"
        case (.integer, _):
            "the key is not a whole number: use one, or pass keyKind: .text for the table"
        case (.text, _): "the key is not text of 1 to \(KeyForm.maximumTextBytes) bytes"
        }
    }

    /// The server's rejection, with an explanation added if the server sent none.
    static func byServer(reason: String, message: String?) -> Rejection {
        guard reason == "fk_missing", message?.isEmpty ?? true else {
            return Rejection(reason: reason, message: message)
        }
        return Rejection(
            reason: reason,
            message:
                "the row refers to a row that is not on the server: that row was rejected too, was "
                + "kept on this device, or its table is not among the engine's tables")
    }

    /// A value cannot be represented on the wire.
    static func unsendableValue(column: String, _ why: String) -> Rejection {
        Rejection(reason: "unsendable_value", message: "\(column): \(why)")
    }

    /// The row is larger than a request may be.
    static let tooLarge = Rejection(
        reason: "too_large", message: "the row is larger than the gateway accepts in a request")

    /// The app's resolver threw an error.
    static func resolverFailed(_ error: any Error) -> Rejection {
        Rejection(reason: "resolver_failed", message: "\(error)")
    }
}
