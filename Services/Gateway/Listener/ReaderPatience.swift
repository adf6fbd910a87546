/// Whether the client of an answer still takes it. Decides; performs nothing.
///
/// Somebody looks from time to time while parts of an answer wait to be taken. Nothing is to be
/// looked at while no part waits: a watch without news may last for ever.
struct ReaderPatience: Hashable {
    /// Looks without progress after which the client counts as stalled.
    static let looks = 3

    /// What a look finds.
    enum Verdict: Hashable {
        /// Everything has been taken: no further look, until something is written.
        case nothingWaits
        case goesOn
        case stalled
    }

    private var waiting = 0
    private var takenSinceLook = 0
    private var buffered = 0
    private var silentLooks = 0

    /// Whether something was written that has not been taken.
    var isWaiting: Bool { waiting > 0 }

    mutating func wrote() { waiting += 1 }

    /// The system has a part, or it is lost.
    mutating func took() {
        waiting -= 1
        takenSinceLook += 1
    }

    /// Looks begin.
    ///
    /// - Parameter buffered: bytes that the connection holds back, as the client takes no more.
    mutating func begin(buffered: Int) {
        (takenSinceLook, silentLooks, self.buffered) = (0, 0, buffered)
    }

    mutating func look(buffered: Int) -> Verdict {
        guard isWaiting else { return .nothingWaits }
        // Large parts go in pieces that only the connection's buffer shows.
        let hasMoved = takenSinceLook > 0 || buffered != self.buffered
        (takenSinceLook, self.buffered) = (0, buffered)
        silentLooks = hasMoved ? 0 : silentLooks + 1
        return silentLooks < Self.looks ? .goesOn : .stalled
    }
}
