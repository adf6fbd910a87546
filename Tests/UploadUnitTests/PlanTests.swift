import Model
import SeededRandom
import Sidecar
import Synchronization
import Testing

@testable import UploadService

@Suite("Upload plan")
struct PlanTests {
    @Test(
        "A new row on base 0 is created as version 1, a DELETE of it is applied without a version")
    func unknownRows() {
        let created = decide([change(1, row: 1, base: 0)])
        #expect(created == [.applied(version: 1)])
        #expect(decide([change(1, row: 1, .delete, base: 3)]) == [.applied(version: nil)])
    }

    @Test("V9: an unknown row on another base is row_missing, never a conflict without a row")
    func rowMissing() {
        guard case .invalid(let rejection) = decide([change(1, row: 1, base: 4)])[0] else {
            Issue.record("not refused")
            return
        }
        #expect(rejection.reason == .rowMissing)
    }

    @Test("P7: a row that a device sends again has at least the version that was lost")
    func lostVersions() {
        #expect(decide([change(1, row: 1, base: 0, lost: 5)]) == [.applied(version: 5)])
        #expect(decide([change(1, row: 1, .delete, base: 0, lost: 4)]) == [.applied(version: 4)])
        let outcomes = decide([
            change(1, row: 1, base: 0), change(2, row: 1, .update, base: 1, hash: 2, lost: 7),
            change(3, row: 1, .update, base: 7, hash: 3, lost: 2),
        ])
        #expect(outcomes == [.applied(version: 1), .applied(version: 7), .applied(version: 8)])
        guard case .invalid = decide([change(1, row: 1, base: 4, lost: 5)])[0] else {
            Issue.record("the base is not looked at")
            return
        }
    }

    @Test("S3: changes of one row in one batch are judged in order, each with those before it")
    func chain() {
        let outcomes = decide([
            change(1, row: 1, base: 0), change(2, row: 1, .update, base: 1, hash: 2),
            change(3, row: 1, .update, base: 1, hash: 3),
        ])
        #expect(outcomes[0] == .applied(version: 1))
        #expect(outcomes[1] == .applied(version: 2))
        guard case .conflict(let row) = outcomes[2] else {
            Issue.record("the stale change is no conflict: \(outcomes[2])")
            return
        }
        #expect(row.version == 2)
        #expect(row.changeID == 2)
    }

    @Test(
        "What a change of the batch wrote is taken from the request once for all that conflict with it"
    )
    func manyConflicts() {
        let taken = Mutex(0)
        var plan = UploadPlan(
            schema: schema,
            request: UploadRequest { position in
                taken.withLock { $0 += 1 }
                return StoredWriter(
                    payload: [1, 2], device: "own", changeID: Int64(position), timestamp: "")
            }, reading: UploadReading(), count: 100)
        let changes = (0..<100).map { index in
            change(
                Int64(index), at: index, row: 1, index == 0 ? .insert : .update, base: 0,
                hash: Int64(index))
        }
        _ = plan.decide(changes[...])
        let conflicts = plan.outcomes.compactMap { outcome in
            if case .conflict(let row)? = outcome { row.payload } else { nil }
        }
        #expect(conflicts == Array(repeating: [1, 2], count: 99))
        #expect(taken.withLock { $0 } == 1)
    }

    @Test("V2: a repeat is applied with its original version and writes nothing")
    func repeated() {
        var reading = UploadReading(lastSequence: 9)
        reading.known[1] = [KnownChange(sequence: 4, version: 7, contentHash: 1)]
        var plan = plan(reading, count: 1)
        let entries = plan.decide([change(1, row: 1, base: 6, hash: 1)])
        #expect(entries.isEmpty)
        #expect(plan.outcomes == [.applied(version: 7)])
        #expect(plan.duplicates == 1)
        #expect(plan.lastSequence == 9)
    }

    @Test(
        "V3: another edit under a known id succeeds that id's write, and conflicts with anybody else's"
    )
    func reusedID() {
        var reading = UploadReading(lastSequence: 9)
        reading.known[1] = [KnownChange(sequence: 4, version: 7, contentHash: 1)]
        reading.rows[rowID(1)] = RowFact(
            version: 7, sequence: 4, isDeleted: false, writer: .stored(nil))
        var own = plan(reading, count: 1)
        #expect(own.decide([change(1, row: 1, .update, base: 6, hash: 2)]).map(\.version) == [8])

        reading.rows[rowID(1)] = RowFact(
            version: 8, sequence: 9, isDeleted: false,
            writer: .stored(StoredWriter(payload: [], device: "other", changeID: 3, timestamp: "")))
        var others = plan(reading, count: 1)
        #expect(others.decide([change(1, row: 1, .update, base: 6, hash: 2)]).isEmpty)
        guard case .conflict(let row)? = others.outcomes[0] else {
            Issue.record("a lost edit was called \(String(describing: others.outcomes[0]))")
            return
        }
        #expect(row.device == "other")
    }

    @Test("A tombstone comes back on its own version only")
    func resurrection() {
        var reading = UploadReading(lastSequence: 2)
        reading.rows[rowID(1)] = RowFact(
            version: 2, sequence: 2, isDeleted: true,
            writer: .stored(StoredWriter(payload: nil, device: "d", changeID: 2, timestamp: "")))
        var right = plan(reading, count: 1)
        let entries = right.decide([change(5, row: 1, base: 2)])
        #expect(entries.map(\.version) == [3])
        #expect(entries.map(\.isCreation) == [true])
        var wrong = plan(reading, count: 1)
        _ = wrong.decide([change(5, row: 1, base: 0)])
        guard case .conflict(let row)? = wrong.outcomes[0] else {
            Issue.record("no conflict")
            return
        }
        #expect(row.isDeleted)
        #expect(row.payload == nil)
    }

    @Test("A parent counts when it is applied, not when it is merely in the batch")
    func parents() {
        let reference = ParentReference(foreignKey: 0, values: [.text("p")])
        let child = change(2, row: 2, table: 1, base: 0, needs: [reference])
        let parent = change(1, row: 1, base: 0, provides: [reference])
        #expect(decide([parent, child]) == [.applied(version: 1), .applied(version: 1)])

        let refusedParent = change(1, row: 1, base: 5, provides: [reference])
        guard case .invalid(let rejection) = decide([refusedParent, child])[1] else {
            Issue.record("a child without a parent was applied")
            return
        }
        #expect(rejection.reason == .foreignKeyMissing)
        #expect(rejection.details == .missing(["s.parents:p"]))
    }

    @Test("A batch decided at once comes to the same as its changes one by one", arguments: 0..<200)
    func batchEqualsSequence(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let changes = (0..<12).map { index in
            change(
                Int64.random(in: 1...8, using: &generator), at: index,
                row: UInt64.random(in: 1...3, using: &generator),
                [.insert, .update, .delete].randomElement(using: &generator) ?? .insert,
                base: Int64.random(in: 0...3, using: &generator),
                hash: Int64.random(in: 1...4, using: &generator))
        }
        var whole = plan(UploadReading(), count: changes.count)
        let entries = whole.decide(changes[...])
        var single = plan(UploadReading(), count: changes.count)
        let parts = changes.indices.flatMap { single.decide(changes[$0...$0]) }
        #expect(whole.outcomes == single.outcomes)
        #expect(entries == parts)
        // The log is dense and each row's versions rise by one.
        #expect(entries.map(\.sequence) == entries.indices.map { Int64($0) + 1 })
        for versions in Dictionary(grouping: entries, by: { changes[$0.change].row }).values {
            #expect(versions.map(\.version) == versions.indices.map { Int64($0) + 1 })
        }
    }

    @Test(
        "Parents go before children, within a table that refers to itself too; deletes the other way round"
    )
    func order() {
        let up = ParentReference(foreignKey: 1, values: [.text("up")])
        let changes = [
            change(1, row: 1, table: 1, base: 0, needs: [up]),
            change(2, row: 2, table: 1, base: 0, provides: [up]),
            change(3, row: 3, table: 0, .delete, base: 1),
            change(4, row: 4, table: 1, .delete, base: 1),
            change(5, row: 5, table: 0, base: 0),
        ]
        #expect(ProcessingOrder.of(changes, in: schema).map(\.id) == [5, 2, 1, 4, 3])
    }

    /// A row that `from` names, pointing to the row that `to` names.
    private static func link(_ id: Int64, from: String, to: String, base: Int64 = 0) -> Change {
        change(
            id, row: UInt64(id), table: 1, base: base,
            needs: [ParentReference(foreignKey: 1, values: [.text(ExactText(to))])],
            provides: [ParentReference(foreignKey: 1, values: [.text(ExactText(from))])])
    }

    @Test(
        "Rows that point at each other are applied together, in one sequence, and with them what hangs on them"
    )
    func cycle() {
        let outcomes = decide([
            Self.link(1, from: "a", to: "b"), Self.link(2, from: "b", to: "c"),
            Self.link(3, from: "c", to: "a"), Self.link(4, from: "d", to: "a"),
        ])
        #expect(outcomes == Array(repeating: .applied(version: 1), count: 4))
    }

    @Test("One row of a cycle that cannot be applied takes the whole cycle with it, and no other")
    func brokenCycle() {
        // c is based on a version that the server does not know; e and f are a cycle of their own.
        let outcomes = decide([
            Self.link(1, from: "a", to: "b"), Self.link(2, from: "b", to: "c"),
            Self.link(3, from: "c", to: "a", base: 5), Self.link(4, from: "d", to: "a"),
            Self.link(5, from: "e", to: "f"), Self.link(6, from: "f", to: "e"),
        ])
        let reasons = outcomes.map { outcome -> Rejection.Reason? in
            if case .invalid(let rejection) = outcome { rejection.reason } else { nil }
        }
        #expect(
            reasons[..<4].allSatisfy { $0 == .foreignKeyMissing }
                && outcomes[4...].allSatisfy { $0 == .applied(version: 1) })
    }

    @Test("A batch is parted beside its cycles, and within one only if nothing else is left")
    func parting() {
        let chain = (0..<10).map { change($0, row: UInt64($0), table: 1, base: 0) }
        var changes = chain
        changes[3] = Self.link(3, from: "a", to: "b")
        changes[6] = Self.link(6, from: "b", to: "a")
        let cycles = RowCycles(changes[...], in: schema)
        #expect(cycles.spans == [3..<7])
        #expect(cycles.promised.count == 1)
        #expect(cycles.middle(of: 0..<10) == 3)
        #expect(cycles.middle(of: 3..<10) == 7)
        #expect(cycles.middle(of: 3..<7) == 5)
        #expect(cycles.middle(of: 7..<10) == 8)
        #expect(RowCycles(chain[...], in: schema).spans.isEmpty)
    }
}

private let key = ForeignKey(
    name: "to_parent", parent: TableName(schema: "s", table: "parents"),
    columns: [.init(child: "parent", parent: "code", parentType: 25)], isDeferrable: true)
private let selfKey = ForeignKey(
    name: "to_self", parent: TableName(schema: "s", table: "rows"),
    columns: [.init(child: "up", parent: "code", parentType: 25)], isDeferrable: true)

/// Two tables: `s.parents`, and `s.rows` that refers to it and to itself.
private let schema = UploadSchema(
    catalog: Catalog(tables: [
        RegisteredTable(
            id: 1, name: TableName(schema: "s", table: "parents"), keyKind: .uuid, keyColumn: "id",
            mode: .table,
            ownerColumn: nil,
            columns: [
                Column(name: "id", typeName: "uuid", baseType: 2950),
                Column(name: "code", typeName: "text", baseType: 25),
            ]),
        RegisteredTable(
            id: 2, name: TableName(schema: "s", table: "rows"), keyKind: .uuid, keyColumn: "id",
            mode: .table,
            ownerColumn: nil,
            columns: ["id", "code", "parent", "up"].map {
                Column(name: $0, typeName: "text", baseType: 25)
            },
            foreignKeys: [key, selfKey]),
    ]))

private func rowID(_ number: UInt64) -> RowID { RowID(table: 1, key: .uuid(high: 0, low: number)) }

private func change(
    _ id: Int64, at index: Int = 0, row: UInt64, table: Int = 0,
    _ operation: Model.Operation = .insert,
    base: Int64, hash: Int64 = 1, lost: Int64 = 0, needs: [ParentReference] = [],
    provides: [ParentReference] = []
) -> Change {
    Change(
        index: index, id: id, row: RowID(table: TableID(table + 1), key: .uuid(high: 0, low: row)),
        table: table,
        operation: operation, base: base, lost: lost, payload: nil, contentHash: hash, needs: needs,
        provides: provides)
}

private func plan(_ reading: UploadReading, count: Int) -> UploadPlan {
    UploadPlan(
        schema: schema,
        request: UploadRequest { position in
            StoredWriter(payload: [], device: "own", changeID: Int64(position) + 1, timestamp: "")
        }, reading: reading, count: count)
}

/// Decides changes in the order given and returns their outcomes in that order.
private func decide(_ changes: [Change]) -> [ChangeVerdict] {
    let placed = changes.enumerated().map { index, change in
        Change(
            index: index, id: change.id, row: change.row, table: change.table,
            operation: change.operation,
            base: change.base, lost: change.lost, payload: nil, contentHash: change.contentHash,
            needs: change.needs,
            provides: change.provides)
    }
    var plan = plan(UploadReading(), count: placed.count)
    _ = plan.decide(placed[...])
    return plan.outcomes.compactMap { $0 }
}
