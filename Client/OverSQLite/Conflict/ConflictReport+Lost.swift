import GRDB

extension ConflictReport {
    /// The report of an edit whose row went with its parent, which the server had deleted.
    init(lost: ChangeLog.LostEdit) {
        self.init(
            table: lost.table.name, key: lost.key.wire, outcome: .removedWithParent, columns: [],
            lost: RowImage.values(of: lost.image) ?? [:])
    }
}
