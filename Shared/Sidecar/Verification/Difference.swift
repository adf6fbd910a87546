import Model

/// Something that is not as the promises say: one line of `oversync verify`.
package struct Difference: Hashable, Sendable, CustomStringConvertible {
    /// What is wrong. The raw values are what operators grep for.
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A sequence number that no change of the log has, or one beyond the user's last.
        case sequenceGap = "sequence_gap"
        /// A row's versions do not count 1, 2, 3 in the order of the log.
        case versionOrder = "version_order"
        /// The row state is not what the row's newest change says.
        case staleState = "stale_state"
        /// A change of a device that the sidecar does not know.
        case unknownSource = "unknown_source"
        /// A row is live in the sidecar and not in its business table.
        case missingRow = "missing_row"
        /// A business row that the sidecar does not have: it was never adopted, or capture was off.
        case unknownRow = "unknown_row"
        /// A business row whose values are not those of its newest change.
        case differentRow = "different_row"
        /// A row that devices cannot take: too large, or under a key that is none. Capture refuses such rows; this one
        /// is older, or was written past it.
        case unsendableRow = "unsendable_row"
        /// A column, or a table, that could not be compared: values that were written once do not
        /// fit it any more, its type cannot be compared, or row-level security hides rows. The
        /// other columns are compared.
        case notCompared = "not_compared"
        /// A registered table, or its key or owner column, that is not in the database.
        case notThere = "not_there"
        /// A table whose changes by plain SQL do not, or not wholly, reach the log.
        case captureOff = "capture_off"

        /// What to do about it.
        package var advice: String {
            switch self {
            case .sequenceGap, .versionOrder, .unknownSource:
                "the log was changed by hand or restored in part: restore it from a backup"
            case .staleState: "--repair takes the state from the log"
            case .missingRow: "--repair --accept-deletes tells the devices that the row has gone"
            case .unknownRow: "--repair, or oversync adopt, sends the row to its user's devices"
            case .differentRow: "--repair sends the business row to its user's devices"
            case .unsendableRow:
                "devices cannot take the row: make it smaller or give it another key (UPDATE), or delete it"
            case .notCompared:
                "if a column's type was changed, write the rows with older values once more (UPDATE), "
                    + "then compare again"
            case .notThere:
                "give it back its name, or change oversync.yaml and run oversync migrate"
            case .captureOff: "run oversync migrate"
            }
        }
    }

    package let kind: Kind
    package let user: String
    package let table: TableName?
    package let key: RowKey?
    /// Which columns, versions or sequences.
    package let detail: String
    /// The change that made the row what the sidecar says, when it was compared; 0 for none.
    let sequence: Sequence64

    package var description: String {
        var parts = [kind.rawValue]
        if !user.isEmpty { parts.append("user=\(printable(user))") }
        if let table { parts.append("table=\(table)") }
        if let key { parts.append("key=\(printable(key.text))") }
        if !detail.isEmpty {
            // Words of ours with values between them, quotes included: only what is no plain text needs more.
            let bare = detail.filter { !" \"\\".contains($0) }
            parts.append(bare.isEmpty || printable(bare) == bare ? detail : printable(detail))
        }
        return parts.joined(separator: " ")
    }
}
