import Testing

@testable import Gateway

/// When a publisher is asked for keys that a token names and nobody knows.
struct KeyReadingsTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }

    /// A reading from 10 to 11.
    private func read(failed: Bool) -> KeyReadings {
        var readings = KeyReadings(interval: .seconds(5))
        readings.begin(now: at(10))
        readings.end(now: at(11), failed: failed)
        return readings
    }

    @Test func `the first token asks`() {
        let readings = KeyReadings(interval: .seconds(5))
        #expect(readings.step(at(0), now: at(0)) == .read)
    }

    @Test func `tokens that come during a reading await it`() {
        var readings = KeyReadings(interval: .seconds(5))
        readings.begin(now: at(10))
        #expect(readings.step(at(9), now: at(10)) == .read)
        #expect(readings.step(at(11), now: at(11)) == .read)
    }

    @Test func `a key is absent if a reading that began after its token came lacks it`() {
        #expect(read(failed: false).step(at(10), now: at(11)) == .absent)
        #expect(read(failed: false).step(at(9), now: at(30)) == .absent)
    }

    @Test func `a token that came later waits for the next reading, and asks after the interval`() {
        let readings = read(failed: false)
        #expect(readings.step(at(11), now: at(11)) == .wait(until: at(16)))
        #expect(readings.step(at(12), now: at(15)) == .wait(until: at(16)))
        #expect(readings.step(at(12), now: at(16)) == .read)
    }

    @Test func `while the publisher does not answer, nobody waits and no key counts as absent`() {
        let readings = read(failed: true)
        #expect(readings.step(at(10), now: at(11)) == .unknown)
        #expect(readings.step(at(12), now: at(12)) == .unknown)
        #expect(readings.step(at(16), now: at(16)) == .read)
    }
}
