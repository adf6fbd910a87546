import Model
import SeededRandom
@testable import Sidecar
import Testing

/// Random histories with one fork each: each device that knows a lost change must hear of it.
///
/// Three devices upload, repeat what was not answered, and read; plain SQL writes; compaction
/// removes. Then the log goes back to an earlier end, and is written on, by preference with what
/// was lost.
@Suite("Histories that fork")
struct HistoryModelTests {
    private static let histories = 20_000

    @Test("No device whose changes were lost is told that all is well")
    func noSilentLoss() {
        let census = Census(histories: Self.histories) { _ in }
        #expect(census.count(hurt: true, .same) == 0)
        #expect(census.count(hurt: true, nil) == 0)
        #expect(census.count(hurt: false, .hole) + census.count(hurt: true, .hole) == 0)
        // There is enough of everything, or this would say little.
        #expect(census.count(hurt: true, .forked) > 10_000)
        #expect(census.count(hurt: true, .unproven) > 100)
        #expect(census.count(hurt: false, .same) > 5_000)
    }

    @Test("Without the time, or with the content's hash alone, some are")
    func timeIsNeeded() {
        let withoutTime = Census(histories: 2000) { $0.hasTimes = false }
        #expect(withoutTime.count(hurt: true, .same) > 0)
        let withoutIdentity = Census(histories: 2000) {
            ($0.hasTimes, $0.hasIdentities) = (false, false)
        }
        #expect(withoutIdentity.count(hurt: true, .same) > withoutTime.count(hurt: true, .same))
    }

    @Test("Told on a window's last page alone, some are")
    func everyPage() {
        let census = Census(histories: 2000) { $0.tellsOnEachPage = false }
        #expect(census.count(hurt: true, .same) + census.count(hurt: true, nil) > 0)
    }

    /// What became of the devices of many histories.
    private struct Census {
        private struct Outcome: Hashable {
            let isHurt: Bool
            let finding: HistoryFinding?
        }

        private var counts: [Outcome: Int] = [:]

        init(histories: Int, _ change: (inout ForkedHistory) -> Void) {
            var generator = SeededGenerator(seed: 7)
            for _ in 0..<histories {
                var history = ForkedHistory()
                change(&history)
                history.run(&generator)
                for (isHurt, finding) in history.outcomes {
                    counts[Outcome(isHurt: isHurt, finding: finding), default: 0] += 1
                }
            }
        }

        /// - Parameter finding: nil for devices that were told no pair.
        func count(hurt: Bool, _ finding: HistoryFinding?) -> Int {
            counts[Outcome(isHurt: hurt, finding: finding)] ?? 0
        }
    }
}

/// One log, before and after a fork, and what three devices know of it.
private struct ForkedHistory {
    /// What a tag covers; the real one covers all.
    var hasTimes = true
    var hasIdentities = true
    var tellsOnEachPage = true

    private struct Device {
        var cursor: Sequence64 = 0
        var acknowledged: Sequence64 = 0
        var window: Sequence64?
        var pair: HistoryPair?
    }

    private static let plainSQL = 9
    private static let rows = 7

    private var log: [TaggedChange] = []
    private var removed: Set<Sequence64> = []
    /// By the head at which it held: the scope's pair.
    private var tagged: [Sequence64: HistoryPair] = [:]
    private var kept = HistoryPair(sequence: 0, tag: 0)
    private var devices = [Device](repeating: Device(), count: 3)
    private var nextID: [Int: ChangeID] = [:]
    private var clock: Int64 = 0
    /// The log's end at the fork.
    private var fork: Sequence64 = 0
    private var unanswered: [TaggedChange] = []

    private var head: Sequence64 { Sequence64(log.count) }

    private var end: HistoryEnd {
        HistoryEnd(
            head: head, tagged: tagged[head] ?? HistoryPair(sequence: 0, tag: 0),
            compacted: removed.max() ?? 0, kept: kept)
    }

    private func stored(_ sequence: Sequence64) -> TaggedChange? {
        removed.contains(sequence) || sequence < 1 || sequence > head
            ? nil : log[Int(sequence) - 1]
    }

    /// Whether each device knew a lost change, and what it hears.
    var outcomes: [(isHurt: Bool, finding: HistoryFinding?)] {
        devices.map { device in
            let isHurt = max(device.cursor, device.acknowledged) > fork
            guard let pair = device.pair else { return (isHurt, nil) }
            return (isHurt, end.judge(pair, found: stored(pair.sequence)))
        }
    }

    mutating func run(_ generator: inout SeededGenerator) {
        for _ in 0..<Int.random(in: 3...25, using: &generator) { step(&generator) }
        fork = .random(in: 0...head, using: &generator)
        let lost = Array(log[Int(fork)...])
        log.removeLast(lost.count)
        removed = removed.filter { $0 <= fork }
        if kept.sequence > fork { kept = HistoryPair(sequence: 0, tag: 0) }
        tagged = tagged.filter { $0.key <= fork }
        clock += .random(in: 0...3, using: &generator)
        for _ in 0..<Int.random(in: 0...12, using: &generator) { regrow(lost, &generator) }
        if Int.random(in: 0..<10, using: &generator) < 3 { compact(upTo: head / 2) }
    }

    private mutating func step(_ generator: inout SeededGenerator) {
        let choice = Int.random(in: 0..<100, using: &generator)
        let device = Int.random(in: 0..<devices.count, using: &generator)
        if choice < 35 {
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                write(device, row: nil, &generator)
            }
            if Int.random(in: 0..<100, using: &generator) < 85 {
                devices[device].acknowledged = head
                tell(device, head)
            } else if let last = log.last {
                unanswered.append(last)
            }
        } else if choice < 50 {
            write(Self.plainSQL, row: nil, &generator)
        } else if choice < 80 {
            read(device, &generator)
        } else if choice < 88, head > 0 {
            compact(upTo: choice < 85 ? head / 2 : head)
        }
    }

    /// After the fork: repeats of what was lost, the same content from others, plain SQL.
    private mutating func regrow(_ lost: [TaggedChange], _ generator: inout SeededGenerator) {
        let choice = Int.random(in: 0..<10, using: &generator)
        if choice < 4, let change = lost.randomElement(using: &generator) {
            if unanswered.contains(change) || Bool.random(using: &generator) {
                clock += .random(in: 1...5, using: &generator)
                append(change, isPlain: change.contentHash == 0)
            } else {
                write(
                    Int.random(in: 0..<devices.count, using: &generator), row: change.key,
                    &generator)
            }
        } else if choice < 7 {
            write(Self.plainSQL, row: lost.first?.key, &generator)
        } else {
            write(Int.random(in: 0..<devices.count, using: &generator), row: nil, &generator)
        }
    }

    private mutating func write(
        _ writer: Int, row: [UInt8]?, _ generator: inout SeededGenerator
    ) {
        clock += .random(in: 1...5, using: &generator)
        let isPlain = writer == Self.plainSQL
        let id = isPlain ? head + 1 : nextID[writer, default: 0] + 1
        nextID[writer] = id
        let key = row ?? [UInt8.random(in: 0..<UInt8(Self.rows), using: &generator)]
        let isDelete = Int.random(in: 0..<10, using: &generator) == 0
        append(
            TaggedChange(
                sequence: head + 1, operation: UInt8(ascii: isDelete ? "D" : "U"), version: 1,
                changeID: id, contentHash: isPlain ? 0 : .random(in: 1...3, using: &generator),
                microsecondsSince2000: clock, key: key), isPlain: isPlain)
    }

    /// Adds a change, with the numbers that it gets here.
    private mutating func append(_ change: TaggedChange, isPlain: Bool) {
        let version = 1 + log.lazy.filter { $0.key == change.key }.count
        let here = TaggedChange(
            sequence: head + 1, operation: change.operation,
            version: hasIdentities ? RowVersion(version) : 0,
            changeID: hasIdentities ? change.changeID : 0, contentHash: change.contentHash,
            microsecondsSince2000: hasTimes ? clock : 0, key: hasIdentities ? change.key : [])
        log.append(here)
        if !isPlain { tagged[head] = here.pair }
    }

    private mutating func read(_ number: Int, _ generator: inout SeededGenerator) {
        let window = devices[number].window ?? head
        guard devices[number].cursor < window else { return }
        let cursor = min(window, devices[number].cursor + .random(in: 1...4, using: &generator))
        devices[number].cursor = cursor
        devices[number].window = cursor < window ? window : nil
        if tellsOnEachPage || cursor == window { tell(number, window) }
    }

    /// An answer tells a change, or the last one where that was compacted away.
    private mutating func tell(_ number: Int, _ sequence: Sequence64) {
        func pair(_ sequence: Sequence64) -> HistoryPair? {
            end.known(at: sequence) ?? stored(sequence)?.pair
        }
        guard let told = pair(sequence) ?? pair(head),
            told.sequence > devices[number].pair?.sequence ?? 0
        else { return }
        devices[number].pair = told
    }

    /// Removes replaced changes, and deletes.
    private mutating func compact(upTo last: Sequence64) {
        var newest: [[UInt8]: Sequence64] = [:]
        for change in log { newest[change.key] = change.sequence }
        for change in log.prefix(Int(last)) where !removed.contains(change.sequence) {
            let isReplaced = newest[change.key] != change.sequence
            guard isReplaced || change.operation == UInt8(ascii: "D") else { continue }
            if change.sequence == head { kept = change.pair }
            removed.insert(change.sequence)
        }
    }
}
