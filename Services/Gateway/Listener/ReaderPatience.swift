/// Whether the client of an answer still takes it, and fast enough. Decides; performs nothing.
///
/// The caller checks at intervals while parts of an answer wait to be read. It need not check while
/// none waits: a watch without news may last for ever. A period has at most `looks` checks, in
/// which the client must read some bytes: all that wait if they are few. Then the next one begins.
struct ReaderPatience {
    /// Looks of a period.
    static let looks = 3
    /// Bytes that a client must take in a period; with one of 30 s that is 17 kbit/s.
    static let leastBytes = 64 << 10
    /// The part of what waits that it must take at least, if that is more: this fraction. So a
    /// large answer is held for an hour at most, and not for as long as its client likes.
    static let leastPart = 64

    /// What a look finds.
    enum Verdict: Hashable {
        /// Everything has been taken: no further look, until something is written.
        case nothingWaits
        case goesOn
        case stalled
    }

    /// The connection that the answer goes out by, which others may share.
    struct Connection: Hashable {
        /// Bytes that its socket has taken.
        var sent = 0
        /// Bytes that its socket has not taken, as the client takes no more.
        var buffered = 0
    }

    /// Parts that wait, and their bytes.
    private var parts = 0
    private var bytes = 0
    private var takenSinceLook = 0
    /// As it was at the last look.
    private var connection = Connection()
    private var taken = 0
    /// What waited when the period began: of this answer, and of the connection.
    private var waiting = (own: 0, all: 0)
    private var looksOfPeriod = 0

    /// Whether something was written that has not been taken.
    var isWaiting: Bool { parts > 0 }

    mutating func wrote(_ bytes: Int) {
        parts += 1
        self.bytes += bytes
    }

    /// The system has a part, or it is lost.
    mutating func took(_ bytes: Int) {
        parts -= 1
        self.bytes -= bytes
        takenSinceLook += bytes
    }

    /// Looks begin.
    mutating func begin(_ connection: Connection) {
        takenSinceLook = 0
        self.connection = connection
        beginPeriod()
    }

    private mutating func beginPeriod() {
        waiting = (bytes, max(bytes, connection.buffered))
        (taken, looksOfPeriod) = (0, 0)
    }

    /// The bytes that a client must read in a period.
    ///
    /// - Parameter waiting: the bytes that wait.
    private static func due(of waiting: Int) -> Int {
        min(max(1, waiting), max(leastBytes, waiting / leastPart))
    }

    mutating func look(_ connection: Connection) -> Verdict {
        guard isWaiting else { return .nothingWaits }
        // Large parts go in pieces that only the connection shows, but not while it holds nothing
        // back: then the client gives this answer no room, whatever else it takes.
        let isBlocked = connection.buffered > 0 && self.connection.buffered > 0
        taken += max(takenSinceLook, isBlocked ? connection.sent - self.connection.sent : 0)
        takenSinceLook = 0
        self.connection = connection
        looksOfPeriod += 1
        if taken >= Self.due(of: isBlocked ? waiting.all : waiting.own) {
            beginPeriod()
            return .goesOn
        }
        return looksOfPeriod < Self.looks ? .goesOn : .stalled
    }
}
