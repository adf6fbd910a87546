/// A row that had waiting edits and was removed because the server removed its parent.
struct LostEdit {
    let table: TableSchema
    let key: DeviceRowKey
    let image: String?
    /// Number of the first of the edits.
    let sequence: Int64
}

extension RowOutcome {
    /// The same for whoever watches the edit.
    init(lost: LostEdit) {
        self.init(
            row: .init(tableID: lost.table.id, key: lost.key),
            kind: .overruled(ConflictReport(lost: lost), sequence: lost.sequence))
    }
}

extension ConflictReport {
    /// The report of an edit whose row went with its parent, which the server had deleted.
    init(lost: LostEdit) {
        self.init(
            table: lost.table.name, key: lost.key.wire, outcome: .removedWithParent, columns: [],
            lost: RowImage.values(of: lost.image) ?? [:])
    }
}
