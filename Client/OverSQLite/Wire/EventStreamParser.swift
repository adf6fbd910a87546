/// Parses server-sent events (HTML Standard, section 9.2.6), as far as the protocol uses them.
struct EventStreamParser {
    /// The maximum length of a line, in bytes. The protocol's events have a few dozen.
    static let maximumLineBytes = 16 << 10

    struct Event: Hashable {
        /// `message` if the stream does not name the event.
        var name = "message"
        var data = ""
    }

    /// A line is too long, so this is not the protocol's event stream.
    struct LineTooLong: Error {}

    private var line: [UInt8] = []
    private var event = Event()
    private var hasData = false
    private var endedWithReturn = false

    /// - Returns: the events that these bytes complete.
    /// - Throws: `LineTooLong`.
    mutating func events(in bytes: [UInt8]) throws(LineTooLong) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\n") where endedWithReturn: endedWithReturn = false
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                endedWithReturn = byte == UInt8(ascii: "\r")
                if let event = endLine() { events.append(event) }
            default:
                endedWithReturn = false
                line.append(byte)
                if line.count > Self.maximumLineBytes { throw LineTooLong() }
            }
        }
        return events
    }

    private mutating func endLine() -> Event? {
        defer { line = [] }
        if line.isEmpty {
            defer { (event, hasData) = (Event(), false) }
            return hasData ? event : nil
        }
        // A line that starts with a colon is a comment: its field has no name.
        let parts = line.split(
            separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        var value = parts.count > 1 ? parts[1] : []
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        let text = String(decoding: value, as: UTF8.self)
        switch String(decoding: parts[0], as: UTF8.self) {
        case "event": event.name = text
        case "data" where event.data.utf8.count + text.utf8.count <= Self.maximumLineBytes:
            event.data += hasData ? "\n" + text : text
            hasData = true
        default: break
        }
        return nil
    }
}
