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

/// A page would have a part of an atomic upload, these sequences. It is made again, and ends
/// before them.
enum PartOfAtomicUpload: Error {
    /// It does not fit into the page with the rows before it.
    case tooLarge(ClosedRange<Sequence64>)
    /// The window that was asked for ends within it.
    case beyondWindow(ClosedRange<Sequence64>)
}

/// A page while rows are added to it: where it ends, and what is left out of it.
///
/// It ends at the limit, or at the answer's bytes of payloads. Where that is within an atomic
/// upload (`goOn(to:)`), the rest of it comes, too, up to those bytes, and beyond them if the page
/// has nothing else: then only what an answer can carry ends it.
struct PageFilling<Writer: PageWriter> {
    private var writer: Writer
    private var page: Page
    private let limit: Int
    private let stop: Sequence64?
    /// Bytes of payloads so far.
    private var bytes = 0
    /// Rows so far, those left out included.
    private var seen = 0
    /// The first row that is in.
    private var first: Sequence64?
    /// The atomic upload whose rest is added.
    private var rest: ClosedRange<Sequence64>?
    /// The rest does not fit.
    private var isOutgrown = false

    init(_ writer: Writer, _ request: PageRequest, _ scope: ScopeState) {
        self.writer = writer
        limit = request.limit
        stop = request.stop
        page = Page(nextAfter: request.after, windowUntil: request.window(of: scope), scope: scope)
    }

    /// The last row that is in.
    var after: Sequence64 { page.nextAfter }

    /// Rows that may still come.
    var room: Int {
        guard let rest else { return limit - seen }
        return Int(clamping: min(rest.upperBound - after, .max - 1))
    }

    /// Where the page ends if nothing more is added: the next one begins after it.
    var end: Sequence64 { page.hasMore ? after : min(page.windowUntil, stop ?? .max) }

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
            count(row)
        } else {
            try add(row)
        }
        return true
    }

    /// The page has a part of an atomic upload: from here on the rest of it is added, beyond the
    /// limit.
    ///
    /// - Parameter device: the name of the upload's device, as the page shows it.
    /// - Throws: `PartOfAtomicUpload` if the window ends before the upload does.
    mutating func goOn(to upload: AtomicUpload, of device: String) throws(PartOfAtomicUpload) {
        guard upload.sequences.upperBound <= page.windowUntil else {
            throw .beyondWindow(upload.sequences)
        }
        writer.learn(device, of: upload.source)
        rest = upload.sequences
        page.hasMore = false
    }

    /// The page, with what tells its reader where to go on.
    ///
    /// - Throws: `PartOfAtomicUpload` if the rest of one did not fit with the rows before it.
    mutating func finish() throws(PartOfAtomicUpload) -> Page {
        if let rest, isOutgrown, hasRows(before: rest) { throw .tooLarge(rest) }
        if !page.hasMore {
            page.nextAfter = end
            page.hasMore = end < page.windowUntil
        }
        page.body = writer.finish(page)
        return page
    }

    /// Whether a row belongs into the page.
    private mutating func begins(_ row: PageRow) -> Bool {
        // Rows that were committed after the last sequence was read belong to the next window.
        guard row.sequence <= page.windowUntil else { return false }
        let size = row.payload?.count ?? 0
        if let rest {
            let isOver = row.sequence > rest.upperBound
            isOutgrown = !isOver && !hasRoom(for: size, of: rest)
            page.hasMore = isOver || isOutgrown
        } else {
            page.hasMore = seen == limit || !hasRoom(for: size)
        }
        if !page.hasMore { bytes += size }
        return !page.hasMore
    }

    /// One row is served whatever its size: a page without any would hold the device for ever.
    private func hasRoom(for size: Int) -> Bool {
        page.rows == 0 || bytes + size <= WireLimits.payloadBytesPerAnswer
    }

    private func hasRoom(for size: Int, of rest: ClosedRange<Sequence64>) -> Bool {
        (!hasRows(before: rest) || hasRoom(for: size))
            && (page.rows == 0 || writer.bytes + size <= WireLimits.largestRowBytes)
    }

    private func hasRows(before sequences: ClosedRange<Sequence64>) -> Bool {
        first.map { $0 < sequences.lowerBound } ?? false
    }

    private mutating func add(_ row: PageRow) throws {
        try writer.append(row)
        page.rows += 1
        if page.rows == 1 {
            page.firstChange = CommitTime(postgres: row.microsecondsSince2000)
        }
        count(row)
    }

    private mutating func count(_ row: PageRow) {
        seen += 1
        first = first ?? row.sequence
        page.nextAfter = row.sequence
    }
}
