/// Values of the model of stored rows, as their JSON has them.
///
/// Three tables with the same columns, which differ in how a row's place is unique: see
/// ``StoredModel/Table``.
extension StoredModel {
    package typealias User = ModelServer.User
    package typealias Device = ModelServer.Device
    package typealias Kind = ModelServer.Kind
    /// JSON text by column.
    package typealias Values = [Column: String]

    package enum Table: Int, Hashable, CaseIterable, Sendable {
        /// `UNIQUE (owner, place)`, checked row by row.
        case spots
        /// The same, checked at the commit.
        case seats
        /// A unique index on places below ``firstFreePlace``, of all users.
        case slots

        package static let firstFreePlace = 90

        /// Whether two rows may not share a place.
        func isUnique(_ place: Int) -> Bool { self != .slots || place < Self.firstFreePlace }

        var isOfAllUsers: Bool { self == .slots }
    }

    package struct RowName: Hashable, Comparable, Sendable {
        package let table: Table
        package let number: Int

        package init(_ table: Table, _ number: Int) {
            self.table = table
            self.number = number
        }

        package static func < (a: RowName, b: RowName) -> Bool {
            (a.table.rawValue, a.number) < (b.table.rawValue, b.number)
        }
    }

    package enum Column: String, CaseIterable, Sendable {
        case place, word, price, rate, at, code, made, note

        /// One value and what its column makes of it.
        package struct Sample: Sendable {
            package let sent: String
            package let stored: String
            /// Stored is another value, not only another spelling.
            package let differs: Bool
        }

        private static func sample(_ sent: String, _ stored: String, _ differs: Bool) -> Sample {
            Sample(sent: sent, stored: stored, differs: differs)
        }

        /// What a CHECK refuses.
        package static let badWord = #""bad""#
        package static let madeDefault = #""2026-01-01T00:00:00+00:00""#
        package static let noteDefault = #""new""#
        package static let null = "null"

        package static let samples: [Column: [Sample]] = [
            .price: [
                sample("1.005", "1.01", true), sample("2.5", "2.50", false),
                sample("3", "3.00", false), sample("4.004", "4.00", true),
                sample(#""2.999""#, "3.00", true), sample(#""6.5""#, "6.50", false),
            ],
            .rate: [
                sample("0.5", "0.5", false), sample("0.123456789", "0.12345679", true),
                sample("16777217", "1.6777216e+07", true),
            ],
            .at: [
                sample(
                    #""2026-03-01T10:00:00.750Z""#, #""2026-03-01T10:00:01+00:00""#, true),
                sample(
                    #""2026-03-01T12:00:00+02:00""#, #""2026-03-01T10:00:00+00:00""#, false),
                sample(
                    #""2026-03-02T10:00:00+00:00""#, #""2026-03-02T10:00:00+00:00""#, false),
            ],
            .code: [
                sample(#""EU""#, #""EU   ""#, true), sample(#""EUROP""#, #""EUROP""#, false),
            ],
            .made: [
                sample(#""2026-02-02T00:00:00Z""#, #""2026-02-02T00:00:00+00:00""#, false)
            ],
        ]

        /// What the column makes of a value, and whether it is another one.
        package func store(_ sent: String) -> (stored: String, differs: Bool) {
            let sample = Self.samples[self]?.first { $0.sent == sent }
            return sample.map { ($0.stored, $0.differs) } ?? (sent, false)
        }
    }

    package struct Change: Hashable, Sendable {
        package let id: Int
        package let kind: Kind
        package let row: RowName
        package let base: Int
        /// Nil for a delete.
        package let payload: Values?
        /// It also names a column that the table does not have.
        package var hasUnknown = false

        var place: Int? { payload?[.place].flatMap { Int($0) } }
    }

    package struct Upload: Sendable {
        package let user: User
        package let device: Device
        package var isAtomic = false
        package let changes: [Change]

        func with(_ changes: [Change]) -> Upload {
            Upload(user: user, device: device, isAtomic: isAtomic, changes: changes)
        }
    }

    /// Plain SQL on one row, or on two.
    package enum Write: Sendable {
        case insert(owner: User, RowName, Values)
        /// Of the columns that are named.
        case update(RowName, Values)
        case delete(RowName)
        /// Two rows of a table exchange their places, in one transaction.
        case swap(RowName, RowName)
    }

    /// A row of a business table: every column has a value.
    package struct Row: Hashable, Sendable {
        package let owner: User
        package var values: Values

        var place: Int { values[.place].flatMap { Int($0) } ?? 0 }
    }

    /// A change in a user's log.
    package struct Entry: Hashable, Sendable {
        package let row: RowName
        package let kind: Kind
        package let version: Int
        package let device: Device
        /// 0 for plain SQL.
        package let id: Int
        /// As the log has it; nil for a delete.
        package let payload: Values?
        package let hasUnknown: Bool
        /// The payload has all columns and the key, as the table stores them.
        package let isStored: Bool
        /// As it was sent, which makes a repeat known.
        let sent: Change?
    }

    package enum Answer: Hashable, Sendable {
        case applied(version: Int)
        case repeated(version: Int)
        case nothingToDelete
        case conflict(with: Entry)
        case rowMissing
        /// With PostgreSQL's code.
        case refused(String)
        case aborted

        package var isApplied: Bool {
            switch self {
            case .applied, .repeated, .nothingToDelete: true
            default: false
            }
        }

        var isNew: Bool { if case .applied = self { true } else { false } }
    }

    static let placeTaken = Answer.refused("23505")
}
