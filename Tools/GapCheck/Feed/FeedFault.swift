/// What is wrong with what a reader was given.
package enum FeedFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// These sequences were never delivered.
    case gap(ClosedRange<Int64>)
    /// A sequence was delivered twice.
    case duplicate(Int64)
    /// A sequence came after a later one.
    case reorder(Int64, after: Int64)
    /// A change that is not of this user.
    case foreign(Int64, what: String)
    /// A device's change has a second place in the log.
    case repeated(Int64, source: String, changeID: Int64)
    /// A row's versions do not count up.
    case version(Int64, row: GapRow, version: Int64, after: Int64)
    /// A reader that leaves its own changes out got one.
    case own(Int64)
    /// The log's end is another than the reader's.
    case end(Int64, head: Int64)
    /// Two readers were given different changes under one sequence.
    case different(Int64)
    /// A device was answered `applied`, and no reader got the change.
    case lost(source: String, changeID: Int64)
    /// A change that no device was answered `applied` for.
    case unanswered(source: String, changeID: Int64)
    /// A row is not, in the business table, what the reader has.
    case state(GapRow)
    /// A page that breaks its own rules.
    case page(after: Int64, what: String)

    package var description: String {
        switch self {
        case .gap(let missing):
            missing.count == 1
                ? "gap: \(missing.lowerBound) was never delivered"
                : "gap: \(missing.lowerBound) to \(missing.upperBound) were never delivered"
        case .duplicate(let sequence): "duplicate: \(sequence) was delivered twice"
        case .reorder(let sequence, let later): "reorder: \(sequence) came after \(later)"
        case .foreign(let sequence, let what): "foreign: \(sequence) is \(what)"
        case .repeated(let sequence, let source, let id):
            "duplicate: change \(id) of \(source) is in the log twice, again at \(sequence)"
        case .version(let sequence, let row, let version, let before):
            "versions: \(sequence) brings \(row) at version \(version) after \(before)"
        case .own(let sequence): "own: \(sequence) is the reader's own"
        case .end(let end, let head): "end: the log ends at \(head), the reader at \(end)"
        case .different(let sequence):
            "different: two readers have different changes at \(sequence)"
        case .lost(let source, let id):
            "lost: change \(id) of \(source) was answered applied and never delivered"
        case .unanswered(let source, let id):
            "unanswered: change \(id) of \(source) was delivered and never answered applied"
        case .state(let row): "state: \(row) is not what the business table holds"
        case .page(let cursor, let what): "page: after \(cursor), \(what)"
        }
    }
}
