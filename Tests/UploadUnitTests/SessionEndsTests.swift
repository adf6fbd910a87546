import SeededRandom
import Testing

@testable import UploadService

@Suite("Rows that end the session") struct SessionEndsTests {
    private let start = ContinuousClock.now

    /// Changes of several tables take turns.
    private static func end(_ part: Range<Int>, tables: Int = 1, isOfSets: Bool = false)
        -> SessionEnd
    {
        SessionEnd(
            range: part, tables: part.map { $0 % tables },
            middle: part.lowerBound + part.count / 2, isOfSets: isOfSets)
    }

    /// Writes a batch as often as it takes, where some rows end the session each time.
    ///
    /// - Returns: what is known at the end, and how many attempts it took.
    private func write(
        _ count: Int, culprits: Set<Int>, attemptTime: Duration = .zero, strangers: Int = 0,
        tables: Int = 1
    ) -> (ends: SessionEnds, attempts: Int) {
        var ends = SessionEnds(from: start, until: start + .seconds(30))
        var now = start
        var strangers = strangers
        for attempt in 1... {
            now += attemptTime
            let part = ends.parts(of: count).first { part in
                strangers > 0
                    || part.contains { culprits.contains($0) && ends.refusal(at: $0) == nil }
            }
            guard let part else { return (ends, attempt) }
            strangers -= 1
            ends.record(Self.end(part, tables: tables), now: now)
        }
        return (ends, 0)
    }

    @Test("Each is found, in about as many attempts as halving takes, and no other is rejected")
    func found() {
        var random = SeededGenerator(seed: 7)
        for count in [1, 2, 3, 7, 64, 200, 1000] {
            for _ in 1...20 {
                let culprit = Int.random(in: 0..<count, using: &random)
                let (ends, attempts) = write(count, culprits: [culprit])
                #expect(ends.rejected == [culprit])
                #expect(ends.postponed == [])
                let halvings = count.bitWidth - count.leadingZeroBitCount
                #expect(attempts <= halvings + SessionEnds.coincidences + SessionEnds.endsAlone + 1)
            }
        }
        #expect(write(200, culprits: [3, 150]).ends.rejected == [3, 150])
    }

    @Test("Sessions that somebody else ends now and then blame no row")
    func coincidences() {
        let (ends, attempts) = write(50, culprits: [], strangers: SessionEnds.coincidences)
        #expect(attempts == SessionEnds.coincidences + 1)
        #expect(ends.parts(of: 50) == [0..<50])
        for strangers in 3...8 {
            #expect(write(50, culprits: [], strangers: strangers).ends.rejected == [])
        }
    }

    @Test("Where there are many, the search ends: what it has not found is postponed")
    func many() {
        for count in [10, 200, 1000] {
            let (ends, attempts) = write(count, culprits: Set(0..<count))
            #expect(attempts < 2 * SessionEnds.maximum)
            #expect(ends.rejected.union(ends.postponed) == Set(0..<count))
            #expect(!ends.rejected.isEmpty)
        }
    }

    @Test("Where a table has many, its rows are postponed, and those of other tables are not")
    func table() {
        for count in [40, 1000] {
            let culprits = Set((0..<count).filter { $0 % 4 == 1 })
            let (ends, attempts) = write(count, culprits: culprits, tables: 4)
            #expect(attempts < 2 * SessionEnds.maximum)
            #expect(ends.rejected.union(ends.postponed) == culprits)
            #expect(ends.rejected.count >= SessionEnds.rejectionsOfTable)
        }
    }

    @Test("Where each takes long, half of the request's time is kept for the other rows")
    func slow() {
        let (ends, attempts) = write(200, culprits: [77], attemptTime: .seconds(3))
        #expect(attempts * 3 < 30)
        #expect(ends.postponed.contains(77))
        #expect(ends.postponed.count < 200)
    }

    @Test("Sets are not looked for across the cuts, until the row is found")
    func sets() {
        var ends = SessionEnds(from: start, until: start + .seconds(30))
        for _ in 0...SessionEnds.coincidences { ends.record(Self.end(0..<4), now: start) }
        ends.record(Self.end(0..<2, isOfSets: true), now: start)
        #expect(!ends.allowsSets)
        #expect(ends.parts(of: 4) == [0..<2, 2..<4])
        for _ in 1...SessionEnds.endsAlone { ends.record(Self.end(3..<4), now: start) }
        #expect(ends.allowsSets)
        #expect(ends.rejected == [3])
    }
}
