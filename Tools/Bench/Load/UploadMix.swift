/// What an upload of the load consists of.
enum UploadMix: String, Codable, Sendable {
    /// New rows: one author in ten, the rest posts of the author before them.
    case inserts
    /// Every row was there and is written again on the version it has.
    case updates
    /// Half are new rows, half delete the new rows of the request before.
    case deletes
    /// Half are new rows, half edits of rows whose version the device does not know.
    case conflicts

    /// One change of a request. Rows are counted from the request's first.
    struct Slot: Hashable, Sendable {
        enum Operation: String, Sendable {
            case insert = "INSERT", update = "UPDATE", delete = "DELETE"
        }

        /// Which rows a number counts.
        enum Rows: Sendable {
            /// From the request's first.
            case ofRequest
            /// From the first that the device ever made.
            case ofDevice
        }

        let operation: Operation
        let rows: Rows
        /// Negative: rows of the request before.
        let row: Int
        /// The author of a post; nil for an author.
        let author: Int?
        /// Whether the base is the version that the request names, or none.
        let namesVersion: Bool
    }

    private static let rowsPerAuthor = 10

    func slots(_ count: Int) -> [Slot] {
        switch self {
        case .inserts: Self.rows(count, .insert)
        case .updates: Self.rows(count, .update)
        case .deletes:
            Self.rows(count / 2, .insert) + Self.rows(count / 2, .delete, from: -count / 2)
        case .conflicts:
            Self.rows(count / 2, .insert) + Self.rows(count / 2, .update, .ofDevice)
        }
    }

    /// New rows in a request with this number of changes.
    func newRows(_ count: Int) -> Int {
        switch self {
        case .inserts: count
        case .updates: 0
        case .deletes, .conflicts: count / 2
        }
    }

    /// How many of a request's changes the server answers as conflicts; the others are applied.
    func conflicts(_ count: Int) -> Int { self == .conflicts ? count / 2 : 0 }

    private static func rows(
        _ count: Int, _ operation: Slot.Operation, _ rows: Slot.Rows = .ofRequest,
        from first: Int = 0
    ) -> [Slot] {
        (0..<count).map { index in
            let author = index - index % rowsPerAuthor
            return Slot(
                operation: operation, rows: rows, row: first + index,
                author: author == index ? nil : first + author,
                namesVersion: operation != .insert && rows == .ofRequest)
        }
    }
}
