/// A row of one of the synced tables.
struct TableKey: Hashable, Sendable {
    /// The table's number in `_sync_tables`.
    let tableID: Int64
    let key: DeviceRowKey
}
