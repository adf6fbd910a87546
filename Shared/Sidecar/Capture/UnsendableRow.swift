import Model

/// What makes a business row one that devices cannot take, as SQL. An upload refuses the same.
struct UnsendableRow {
    /// See ``WireLimits/largestRowBytes``.
    static let largestBytes = WireLimits.largestRowBytes

    let table: RegisteredTable

    /// A payload's bytes, without the header that every value of variable length has in memory.
    ///
    /// - Parameter payload: JSON that was just rendered. Of a stored one this is the compressed size.
    func size(_ payload: String) -> String { "pg_column_size(\(payload)) - 4" }

    func isTooLarge(_ payload: String) -> String {
        "\(size(payload)) > \(Self.largestBytes)"
    }

    func hasBadKey(_ key: String) -> String {
        table.keyKind == .text
            ? "octet_length(\(key)) NOT BETWEEN 1 AND \(RowKey.maximumTextBytes)" : "false"
    }

    func keyText(_ key: String) -> String {
        "sync.key_text(\(key), \(literal(table.keyKind.rawValue)))"
    }
}
