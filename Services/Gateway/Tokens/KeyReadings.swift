/// Decides when a publisher is asked for its keys. Decides; performs nothing.
///
/// Anyone can send tokens with invented key names: they cost the publisher one reading in
/// `interval` altogether. A key counts as absent only if a reading that began after its token came
/// does not have it: a publisher may sign with a key as soon as it publishes it.
struct KeyReadings {
    typealias Instant = ContinuousClock.Instant

    /// What to do about a key that a token names and that is not known.
    enum Step: Hashable {
        /// Read, or await the reading under way.
        case read
        /// Read then: the last reading was a moment ago.
        case wait(until: Instant)
        /// There is no such key.
        case absent
        /// The publisher does not answer: nobody can say.
        case unknown
    }

    /// Shortest time from the end of one reading to the next.
    let interval: Duration
    private var isReading = false
    private var began: Instant?
    private var ended: Instant?
    private var hasFailed = false

    init(interval: Duration) { self.interval = interval }

    /// - Parameter came: when the token came.
    func step(_ came: Instant, now: Instant) -> Step {
        if isReading { return .read }
        guard let began, let ended else { return .read }
        if began >= came { return hasFailed ? .unknown : .absent }
        let next = ended + interval
        guard now < next else { return .read }
        return hasFailed ? .unknown : .wait(until: next)
    }

    mutating func begin(now: Instant) {
        isReading = true
        began = now
    }

    mutating func end(now: Instant, failed: Bool) {
        isReading = false
        ended = now
        hasFailed = failed
    }
}
