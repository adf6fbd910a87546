import GapCheck
import Testing

@Suite("What the gap checker's devices write")
struct WriterScriptTests {
    /// A server that nobody else writes to: versions of live rows, deleted ones at their last.
    private struct Server {
        var versions: [GapRow: Int64] = [:]
        var items: [GapRow: GapRow] = [:]
        var live: Set<GapRow> = []
        var cascaded = 0

        /// Deletes come after everything else, parts before items, as the protocol has it.
        mutating func apply(_ batch: [WriterChange]) -> [WriterOutcome] {
            var outcomes = Array(repeating: WriterOutcome.other("never"), count: batch.count)
            let order = batch.indices.sorted { rank(batch[$0], $0) < rank(batch[$1], $1) }
            for index in order { outcomes[index] = apply(batch[index]) }
            return outcomes
        }

        private func rank(_ change: WriterChange, _ index: Int) -> Int {
            (change.kind == .delete ? 2000 : 0) + (change.item == nil ? 1000 : 0)
                * (change.kind == .delete ? 1 : -1) + index
        }

        private mutating func apply(_ change: WriterChange) -> WriterOutcome {
            let current = versions[change.row] ?? 0
            guard current == change.base, live.contains(change.row) == (change.kind != .insert),
                change.item.map(live.contains) ?? true
            else { return .other("base \(change.base) of \(change.row) at \(current)") }
            versions[change.row] = current + 1
            if change.kind == .delete { remove(change.row) } else { live.insert(change.row) }
            items[change.row] = change.item
            return .applied(version: current + 1)
        }

        private mutating func remove(_ row: GapRow) {
            live.remove(row)
            for (part, item) in items where item == row && live.contains(part) {
                live.remove(part)
                cascaded += 1
            }
        }
    }

    @Test(arguments: [1, 2, 3])
    func `Alone on a server, every change of a device fits, and cascades are counted`(seed: UInt64)
        throws
    {
        var script = WriterScript(owner: 7, writer: 1, seed: seed)
        var server = Server()
        var ids: Set<Int64> = []
        var kinds: Set<WriterChange.Kind> = []
        var cascaded = 0
        for _ in 0..<60 {
            let batch = script.nextBatch()
            let settled = try script.settle(batch, server.apply(batch))
            #expect(settled.applied.count == batch.count)
            ids.formUnion(settled.applied)
            kinds.formUnion(batch.map(\.kind))
            cascaded += settled.cascaded
        }
        #expect(ids == Set(1...Int64(ids.count)))
        #expect(kinds == [.insert, .update, .delete])
        #expect(cascaded == server.cascaded && cascaded > 0)
    }

    @Test
    func `a row in conflict is edited from the server's version on, and a deleted one left alone`()
        throws
    {
        var script = WriterScript(owner: 7, writer: 1, seed: 5)
        var known: [GapRow: Int64] = [:]
        var gone: Set<GapRow> = []
        for round in 0..<40 {
            let batch = script.nextBatch()
            var first: Set<GapRow> = []
            let outcomes: [WriterOutcome] = batch.map { change in
                if change.kind == .insert { return .applied(version: 1) }
                #expect(!gone.contains(change.row))
                if first.insert(change.row).inserted, let version = known[change.row] {
                    #expect(change.base == version)
                }
                known[change.row] = Int64(100 + round)
                guard round % 2 == 0 else {
                    return .conflict(version: Int64(100 + round), isDeleted: false)
                }
                return .conflict(version: Int64(100 + round), isDeleted: true)
            }
            if round % 2 == 0 { gone.formUnion(batch.filter { $0.kind != .insert }.map(\.row)) }
            let settled = try script.settle(batch, outcomes)
            #expect(settled.applied.count + settled.conflicts == batch.count)
        }
        #expect(!known.isEmpty && !gone.isEmpty)
    }

    @Test func `An answer that none of its changes may get ends the check`() {
        var script = WriterScript(owner: 7, writer: 1, seed: 1)
        let batch = script.lastBatch()
        #expect(batch.count == 1)
        #expect(throws: UnexpectedAnswer.self) { try script.settle(batch, []) }
        #expect(throws: UnexpectedAnswer.self) { try script.settle(batch, [.other("invalid")]) }
    }
}
