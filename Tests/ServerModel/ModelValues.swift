/// What the model hears and what it says: small values without text, so that millions of them are cheap.
///
/// Three tables: notes, which may point to another note above them; items of a note, which hold it fast; and pins
/// on a note, which go with it.
extension ModelServer {
    package enum User: Int, Hashable, CaseIterable, Sendable { case ann, bob }

    package enum Device: Int, Hashable, CaseIterable, Sendable {
        /// Not a device: plain SQL.
        case server
        case phone, tablet, laptop

        package static let all: [Device] = [.phone, .tablet, .laptop]
    }

    /// Parents first; the raw value is the place in that order.
    package enum Table: Int, Hashable, CaseIterable, Sendable { case notes, items, pins }

    package enum Kind: Hashable, Sendable { case insert, update, delete }

    /// One row of one table.
    package struct Place: Hashable, Sendable {
        package let table: Table
        package let key: Int

        package init(_ table: Table, _ key: Int) {
            self.table = table
            self.key = key
        }
    }

    package enum Reference: Hashable, Sendable { case nowhere, note(Int) }

    /// The columns that a change brings; nil for those it does not name.
    package struct Payload: Hashable, Sendable {
        /// The check of the notes' table refuses it.
        package static let badTitle = -1

        /// Of notes.
        package var title: Int?
        /// Of notes: the note above. Of items and pins: their note.
        package var reference: Reference?
        /// Of items and pins.
        package var number: Int?
        /// It also names a column that the table does not have.
        package var hasUnknown = false

        package init() {}
    }

    package struct Change: Hashable, Sendable {
        package let id: Int
        package let kind: Kind
        package let place: Place
        package let base: Int
        /// Nil for a delete.
        package let payload: Payload?
    }

    package struct Upload: Sendable {
        /// How it came to arrive.
        package enum Arrival: Hashable, Sendable {
            case first
            /// Its answer was lost: the same bytes once more.
            case again
            /// On its way for longer than what the device sent after it.
            case late
        }

        package let user: User
        package let device: Device
        package let isAtomic: Bool
        package let changes: [Change]
        package var arrival = Arrival.first

        package func with(_ changes: [Change]) -> Upload {
            Upload(
                user: user, device: device, isAtomic: isAtomic, changes: changes, arrival: arrival)
        }
    }

    /// Plain SQL on one row.
    package enum Write: Sendable {
        case insert(owner: User, Place, Payload)
        /// Of the columns that the payload names.
        case update(Place, Payload)
        case delete(Place)
    }

    /// A row of a business table.
    package struct Row: Hashable, Sendable {
        package let owner: User
        package fileprivate(set) var title: Int?
        package fileprivate(set) var reference = Reference.nowhere
        package fileprivate(set) var number: Int?

        package init(owner: User) { self.owner = owner }

        package func taking(_ payload: Payload) -> Row {
            var row = self
            if let title = payload.title { row.title = title }
            if let reference = payload.reference { row.reference = reference }
            if let number = payload.number { row.number = number }
            return row
        }
    }

    /// A change in a user's log.
    package struct Entry: Hashable, Sendable {
        package enum Content: Hashable, Sendable {
            case deleted
            /// As the device sent it.
            case sent(Payload)
            /// As plain SQL left it.
            case row(Row)
            /// As the table has stored what a device sent, with what is no column.
            case stored(Row, hasUnknown: Bool)
        }

        package let place: Place
        package let kind: Kind
        package let version: Int
        package let device: Device
        /// 0 for plain SQL.
        package let id: Int
        package let content: Content
        /// What the device sent, where the content is something else.
        package var sent: Payload?
    }

    package enum Answer: Hashable, Sendable {
        case applied(version: Int)
        /// It was in the log already.
        case repeated(version: Int)
        /// The delete of a row that never was.
        case nothingToDelete
        case conflict(with: Entry)
        case rowMissing
        case noteMissing(Int)
        case keyTaken
        /// PostgreSQL's check of titles said no.
        case badTitle
        /// Other rows point to the note that was to be deleted.
        case stillReferenced
        case aborted

        package var isApplied: Bool {
            switch self {
            case .applied, .repeated, .nothingToDelete: true
            default: false
            }
        }

        /// It took effect just now.
        package var isNew: Bool {
            if case .applied = self { true } else { false }
        }

        /// Only PostgreSQL can say this.
        package var isRefusedByPostgres: Bool {
            self == .keyTaken || self == .badTitle || self == .stillReferenced
        }
    }
}
