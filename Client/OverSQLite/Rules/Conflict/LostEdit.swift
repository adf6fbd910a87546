/// A row with pending edits that was removed because the server deleted its parent.
struct LostEdit {
    let table: TableSchema
    let key: DeviceRowKey
    let image: String?
    /// The number of the first pending edit's touch.
    let sequence: Int64
}

extension RowOutcome {
    /// The outcome for a caller that waits for the edit.
    init(lost: LostEdit) {
        self.init(
            row: .init(tableID: lost.table.id, key: lost.key),
            kind: .overruled(ConflictReport(lost: lost), sequence: lost.sequence))
    }
}

extension ConflictReport {
    /// The report of an edit whose row was removed with its parent, which the server had deleted.
    init(lost: LostEdit) {
        self.init(
            table: lost.table.name, key: lost.key.wire, outcome: .removedWithParent, columns: [],
            lost: RowImage.values(of: lost.image) ?? [:])
    }
}
