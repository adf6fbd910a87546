import Model
import Postgres
import Sidecar

/// Why no more rows were taken from an answer of `DownloadStatements.readPage`.
enum PageFillingEnd {
    /// The page is full, or the rows are in.
    case pageOrRows
    /// The next row's payload is too large to come with others: `readLargeRows` has it.
    case largeRow
}

/// A page while rows are added to it: where it ends, and what is left out of it.
struct PageFilling<Writer: PageWriter> {
    private var writer: Writer
    private var page: Page
    private let limit: Int
    /// Bytes of payloads so far.
    private var bytes = 0
    /// Rows so far, those left out included.
    private var seen = 0
    /// The sequence of the row at hand.
    private var sequence: Sequence64 = 0

    init(_ writer: Writer, _ request: PageRequest, _ scope: ScopeState) {
        self.writer = writer
        limit = request.limit
        page = Page(nextAfter: request.after, windowUntil: request.window(of: scope), scope: scope)
    }

    /// The last row that is in.
    var after: Sequence64 { page.nextAfter }
    /// Rows that may still come.
    var room: Int { limit - seen }

    /// Adds rows of `readPage`.
    ///
    /// - Returns: what ended it.
    mutating func add(_ rows: PostgresResult) throws -> PageFillingEnd {
        for row in 0..<rows.rowCount {
            if try isWithoutPayload(rows, row) { return .largeRow }
            guard try begins(rows, row) else { break }
            try writer.append(rows, row: row)
            page.rows += 1
            end()
        }
        return .pageOrRows
    }

    /// Adds a row of `readLargeRows`.
    ///
    /// - Returns: false when the page is full.
    mutating func add(whole row: PostgresRow) throws -> Bool {
        guard try begins(row.result, row.index) else { return false }
        if try isWithoutPayload(row.result, row.index) {
            page.leftOut += 1
        } else {
            try writer.append(row.result, row: row.index)
            page.rows += 1
        }
        end()
        return true
    }

    /// The page, with what tells its reader where to go on.
    mutating func finish() -> Page {
        if !page.hasMore { page.nextAfter = page.windowUntil }
        page.body = writer.finish(page)
        return page
    }

    /// Whether a row belongs into the page.
    private mutating func begins(_ rows: PostgresResult, _ row: Int) throws -> Bool {
        // Rows that were committed after the last sequence was read belong to the next window.
        sequence = try rows.int64(row, PageColumn.sequence)
        guard sequence <= page.windowUntil else { return false }
        bytes += rows.withBytes(row, PageColumn.payload) { $0?.count ?? 0 }
        // One row is served whatever its size: a page without any would hold the device for ever.
        let isFull = page.rows > 0 && bytes > WireLimits.payloadBytesPerAnswer
        if seen == limit || isFull { page.hasMore = true }
        return !page.hasMore
    }

    private mutating func end() {
        seen += 1
        page.nextAfter = sequence
    }

    private func isWithoutPayload(_ rows: PostgresResult, _ row: Int) throws -> Bool {
        guard rows.isNull(row, PageColumn.payload) else { return false }
        return try rows.char(row, PageColumn.operation) != Operation.delete.letter
    }
}
