import Model
import Postgres
import Sidecar

/// Why no more rows were taken from an answer of `DownloadStatements.ReadPage`.
enum PageFillingEnd {
    /// The page is full, or the rows are in.
    case pageOrRows
    /// The next row's payload is too large to come with others: `ReadLargeRows` has it.
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

    init(_ writer: Writer, _ request: PageRequest, _ scope: ScopeState) {
        self.writer = writer
        limit = request.limit
        page = Page(nextAfter: request.after, windowUntil: request.window(of: scope), scope: scope)
    }

    /// The last row that is in.
    var after: Sequence64 { page.nextAfter }
    /// Rows that may still come.
    var room: Int { limit - seen }

    /// Adds rows of `ReadPage`.
    ///
    /// - Returns: what ended it.
    mutating func add(_ rows: Rows<PageRow>) throws -> PageFillingEnd {
        defer { withExtendedLifetime(rows) {} }
        var rows = rows
        while let row = try rows.next() {
            if row.isWithoutPayload { return .largeRow }
            guard begins(row) else { break }
            try add(row)
        }
        return .pageOrRows
    }

    /// Adds a row of `ReadLargeRows`, whose bytes are valid during the call.
    ///
    /// - Returns: false when the page is full.
    mutating func add(whole row: PageRow) throws -> Bool {
        guard begins(row) else { return false }
        if row.isWithoutPayload {
            page.leftOut += 1
            end(row)
        } else {
            try add(row)
        }
        return true
    }

    /// The page, with what tells its reader where to go on.
    mutating func finish() -> Page {
        if !page.hasMore { page.nextAfter = page.windowUntil }
        page.body = writer.finish(page)
        return page
    }

    /// Whether a row belongs into the page.
    private mutating func begins(_ row: PageRow) -> Bool {
        // Rows that were committed after the last sequence was read belong to the next window.
        guard row.sequence <= page.windowUntil else { return false }
        bytes += row.payload?.count ?? 0
        // One row is served whatever its size: a page without any would hold the device for ever.
        let isFull = page.rows > 0 && bytes > WireLimits.payloadBytesPerAnswer
        if seen == limit || isFull { page.hasMore = true }
        return !page.hasMore
    }

    private mutating func add(_ row: PageRow) throws {
        try writer.append(row)
        page.rows += 1
        end(row)
    }

    private mutating func end(_ row: PageRow) {
        seen += 1
        page.nextAfter = row.sequence
    }
}
