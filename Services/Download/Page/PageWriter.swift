import Model
import NIOCore
import Sidecar

/// The form of a page on the wire.
enum PageFormat: Hashable, Sendable {
    case json, protobuf
}

/// Writes rows as a page's body.
protocol PageWriter {
    /// Bytes so far, on the wire or a little more.
    var bytes: Int { get }

    /// Gives a device's number its name.
    mutating func learn(_ device: String, of number: Int32)

    /// Appends one row.
    ///
    /// - Throws: `UnknownTable` for a table that was registered after the catalog was read: the page is made
    ///   again with a fresh one.
    mutating func append(_ row: PageRow) throws

    /// The body, with the page's numbers.
    mutating func finish(_ page: Page) -> ByteBuffer
}

/// A row of a table that the catalog at hand does not have.
struct UnknownTable: Error {
    let id: TableID
}

extension Page {
    /// A page without rows.
    init(emptyFor request: PageRequest, _ scope: ScopeState) {
        let window = request.window(of: scope)
        // A cursor beyond the window stays where it is: it is the caller's, not ours to lower.
        self.init(nextAfter: max(request.after, window), windowUntil: window, scope: scope)
        switch request.format {
        case .json:
            var writer = JSONPageWriter(catalog: .empty, devices: [:], expecting: 0)
            body = writer.finish(self)
        case .protobuf:
            var writer = ProtobufPageWriter(catalog: .empty, devices: [:])
            body = writer.finish(self)
        }
    }

    /// Adds what a reading says about the log's history.
    mutating func tell(_ reading: ScopeReading, to request: PageRequest) {
        if request.tellsHistory { history = reading.windowEnd }
        hasHole = reading.history == .hole
    }
}
