/// What a sign-in does with rows that were written before anyone signed in.
public enum LocalData: Sendable, Hashable {
    /// Send the rows, so that they become the user's. A row whose key the server already has is a
    /// normal conflict.
    case merge
    /// Keep the rows on this device and do not send them until the app edits them.
    /// `sync_row_status` does not list them. The user's sign-out deletes them.
    case keep
    /// Delete the rows.
    case discard
}
