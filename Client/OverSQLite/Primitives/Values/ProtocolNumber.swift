/// The bounds of the protocol's numbers: row versions, sequences, cursors and change ids.
///
/// Both ends reject numbers beyond them. So arithmetic on a number that has been read, from an
/// answer or from the library's own tables, cannot overflow.
enum ProtocolNumber {
    /// What a JSON number holds exactly; far from the highest 64-bit number.
    static let maximum: Int64 = 1 << 53 - 1
    static let range = 0...maximum
    /// Of the change id that is taken next: one more than the highest.
    static let nextChangeIDs = 1...(maximum + 1)
}
