/// What becomes, at a sign-in, of rows that were written before anybody had signed in.
public enum LocalData: Sendable, Hashable {
    /// They are sent and become the user's. Rows of the same key meet the server's as in any
    /// conflict.
    case merge
    /// They stay on this device and are not sent, until the app edits them. `sync_row_status` does
    /// not show them. They go when the user signs out.
    case keep
    /// They are deleted.
    case discard
}
