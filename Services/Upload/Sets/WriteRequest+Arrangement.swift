import Model
import Postgres
import Sidecar

/// The business writes of an attempt with an arrangement, in the order in which they run.
extension WriteRequest {
    enum Step {
        case command(Command)
        /// One statement for all of its entries.
        case rows(BusinessWrites.Group)
    }

    var arrangedCommands: [Command] {
        steps(parkingDeferred: false).flatMap { step in
            switch step {
            case .command(let command): [command]
            case .rows(let group): commands(group)
            }
        }
    }

    /// - Parameter parkingDeferred: whether values in indexes that are checked at the commit are
    ///   parked too, and those indexes checked at once: any other collision shows then.
    func steps(parkingDeferred: Bool) -> [Step] {
        let early = arrangement.earlyDeletes(entries, of: changes, in: statements.schema)
        let first = groups(entries.filter { early.contains($0.change) })
        let rest = entries.filter { !early.contains($0.change) }
        var steps: [Step] = []
        if !first.isEmpty {
            steps.append(.command(Command(UploadStatements.enterDeletes)))
            steps += first.map(Step.rows)
            steps.append(.command(Command(UploadStatements.enterUpserts)))
        }
        steps += arrangement.parked(rest, of: changes, whereImmediate: !parkingDeferred)
            .map { .command(park($0)) }
        if parkingDeferred {
            steps += arrangement.parkings.filter { !$0.index.isImmediate && $0.isComplete }
                .map { .command(Command($0.index.checkAtOnce)) }
        }
        var isDeleting = false
        for group in groups(rest) {
            if group.kind == .delete, !isDeleting {
                isDeleting = true
                steps.append(.command(Command(UploadStatements.enterDeletes)))
            }
            steps.append(.rows(group))
        }
        return steps
    }

    private func groups(_ entries: [LogEntry]) -> [BusinessWrites.Group] {
        guard let order = arrangement.order else { return statements(of: entries) }
        let places = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, $0) })
        return entries.sorted { places[$0.change] ?? 0 < places[$1.change] ?? 0 }
            .flatMap { statements(of: [$0]) }
    }

    private func statements(of entries: [LogEntry]) -> [BusinessWrites.Group] {
        BusinessWrites(changes: changes, entries: entries, schema: statements.schema).groups
    }

    private func park(_ parked: WriteArrangement.Parked) -> Command {
        let table = statements.schema.tables[parked.table].registered
        return Command(
            ParkStatement.make(parked.option, of: table),
            ParkStatement.bindings(parked.rows.map(\.key), scope, of: table))
    }
}

extension UniqueIndex {
    fileprivate var checkAtOnce: Statement {
        let sql = "SET CONSTRAINTS \(quotedName) IMMEDIATE"
        return Statement(
            name: statementName("\(ParkStatement.namePrefix)_check", for: sql), sql: sql)
    }
}
