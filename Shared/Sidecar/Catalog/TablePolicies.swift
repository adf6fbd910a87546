/// Whether row-level security decides about what uploads write to a table.
package struct TablePolicies: Hashable, Sendable {
    /// `row_security: true`: uploads may only write where policies apply to them.
    package let isWanted: Bool
    /// They apply to the role that has read the catalog.
    package let isActive: Bool

    package static let none = TablePolicies(isWanted: false, isActive: false)

    package init(isWanted: Bool, isActive: Bool) {
        self.isWanted = isWanted
        self.isActive = isActive
    }

    /// Rows may be hidden from uploads, whose statements must tell them from rows that are gone.
    package var mayHide: Bool { isWanted || isActive }
}
