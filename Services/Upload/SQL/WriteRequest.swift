import Model
import Postgres
import Sidecar
import WireJSON

/// The writes of an upload: scope, log, row states and business rows, in this order, set-wise.
///
/// Changes whose rows PostgreSQL may store otherwise than they were sent are logged with their
/// business rows (`StoredRowStatement`).
struct WriteRequest {
    let scope: NamedScope
    /// The number of the device, for each change if they are of several.
    let sources: Sources
    let changes: [Change]
    let entries: [LogEntry]
    let statements: BusinessStatements
    /// What the business rows are taken to be.
    let expected: MaterializeStatement.Expectation
    let body: UnsafeBufferPointer<UInt8>
    let arrangement: WriteArrangement
    /// The changes that are logged with their rows.
    private let compared: Set<Sequence64>

    /// Which devices the changes come from.
    enum Sources: Sendable {
        case one(Int32)
        /// By the place of the change. All changes have one time.
        case each([Int32])

        /// The changes of each device, in their order.
        func parts(_ entries: [LogEntry]) -> [(source: Int32, entries: [LogEntry])] {
            switch self {
            case .one(let source): return [(source, entries)]
            case .each(let sources):
                var parts: [(source: Int32, entries: [LogEntry])] = []
                for entry in entries {
                    let source = sources[entry.change]
                    if parts.last?.source == source {
                        parts[parts.count - 1].entries.append(entry)
                    } else {
                        parts.append((source, [entry]))
                    }
                }
                return parts
            }
        }
    }

    init(
        scope: NamedScope, sources: Sources, changes: [Change], entries: [LogEntry],
        statements: BusinessStatements, expected: MaterializeStatement.Expectation,
        body: UnsafeBufferPointer<UInt8>, arrangement: WriteArrangement = .none
    ) {
        self.scope = scope
        self.sources = sources
        self.changes = changes
        self.entries = entries
        self.statements = statements
        self.expected = expected
        self.body = body
        self.arrangement = arrangement
        compared = Self.compared(entries, of: changes, statements, expected)
    }

    private static func compared(
        _ entries: [LogEntry], of changes: [Change], _ statements: BusinessStatements,
        _ expected: MaterializeStatement.Expectation
    ) -> Set<Sequence64> {
        var compared: Set<Sequence64> = []
        var known: [BusinessWrites.Shape: StoredRowStatement?] = [:]
        for entry in entries {
            let change = changes[entry.change]
            guard statements.mayStoreOtherwise(change, expecting: expected) else { continue }
            let shape = BusinessWrites.Shape(change, isCreation: entry.isCreation)
            let statement =
                known[shape] ?? statements.stored(shape, expecting: expected)
            known[shape] = .some(statement)
            guard let statement, statement.concernsOrdinary || !change.isOrdinary else { continue }
            compared.insert(entry.sequence)
        }
        return compared
    }

    var commands: [Command] { sidecarCommands + businessCommands }

    /// Those that note the changes.
    var sidecarCommands: [Command] {
        guard let last = entries.last else { return [] }
        var advance = Bindings()
        scope.bind(to: &advance)
        advance.bind(last.sequence)
        advance.bind(Int64(bitPattern: last.tagged(changes[last.change]).tag))
        var commands = [Command(UploadStatements.advanceScope, advance)]
        let logged =
            compared.isEmpty ? entries : entries.filter { !compared.contains($0.sequence) }
        if !logged.isEmpty { commands.append(append(logged)) }
        commands.append(contentsOf: rowStateCommands)
        // In front of the business writes: all that read times and money read them alike.
        if !compared.isEmpty { commands.append(Command(UploadStatements.renderAsCapture)) }
        return commands
    }

    private var businessCommands: [Command] {
        guard arrangement.isNone else { return arrangedCommands }
        let groups = BusinessWrites(
            changes: changes, entries: entries, schema: statements.schema
        ).groups
        let deletes = groups.firstIndex { $0.kind == .delete } ?? groups.endIndex
        let upserts = groups[..<deletes].flatMap(commands)
        guard deletes < groups.endIndex else { return upserts }
        return upserts + [Command(UploadStatements.enterDeletes)]
            + groups[deletes...].flatMap(commands)
    }

    /// What writes a group's rows, and logs those of its changes that were not logged before;
    /// whatever the order of the groups.
    func commands(_ group: BusinessWrites.Group) -> [Command] {
        let later =
            compared.isEmpty ? [] : group.entries.filter { compared.contains($0.sequence) }
        let mayRunTriggers = statements.schema.tables[group.table].mayRunTriggers(
            isDelete: group.kind == .delete)
        var writes = [command(group)]
        // Again: a trigger of the rows may have made settings of its own.
        if mayRunTriggers || !later.isEmpty {
            writes.append(Command(UploadStatements.renderAsCapture))
        }
        if let present = present(group) { writes.append(present) }
        guard !later.isEmpty, let stored = statements.stored(group.shape, expecting: expected)
        else { return writes }
        return writes
            + sources.parts(later).map { append($1, from: $0, as: stored, of: group.shape.table) }
    }

    /// What expects a group's rows in their table, if the statement that writes them does not.
    private func present(_ group: BusinessWrites.Group) -> Command? {
        let mayInsert = group.kind == .create || group.kind == .update && expected == .anything
        guard mayInsert, let statement = statements.present(group.table) else { return nil }
        let table = statements.schema.tables[group.table].registered
        return Command(
            statement,
            PresentRowsStatement.bindings(
                keys(group.entries, of: table), group.entries.count, scope, of: table))
    }

    private func append(_ entries: [LogEntry]) -> Command {
        let rows = LogRows(entries, of: changes, body)
        var bindings = Bindings(reserving: LogRows.types.count + 2, bytes: rows.bytes)
        bindings.bind(scope.id)
        switch sources {
        case .one(let source):
            bindings.bind(source)
            rows.bind(to: &bindings)
            return Command(UploadStatements.appendLog, bindings)
        case .each(let sources):
            var numbers = ArrayBinding(of: .int4, reserving: entries.count)
            for entry in entries { numbers.append(sources[entry.change]) }
            bindings.bind(numbers)
            rows.bind(to: &bindings)
            return Command(UploadStatements.appendLogOfDevices, bindings)
        }
    }

    /// Logs changes of a group as the table holds them.
    private func append(
        _ entries: [LogEntry], from source: Int32, as stored: StoredRowStatement, of table: Int
    ) -> Command {
        let rows = LogRows(entries, of: changes, body)
        var bindings = Bindings(reserving: LogRows.types.count + 5, bytes: rows.bytes)
        scope.bind(to: &bindings)
        bindings.bind(source)
        bindings.bind(Int64(entries.count))
        bindings.bind(keys(entries, of: statements.schema.tables[table].registered))
        rows.bind(to: &bindings)
        return Command(stored.statement, bindings)
    }

    /// Writes the state of each row once, as its last change of the batch leaves it.
    private var rowStateCommands: [Command] {
        var lastOfRow: [RowID: LogEntry] = [:]
        // Where rows are not as recorded, a trigger of an earlier attempt may have logged one.
        var isNew: Set<RowID> = []
        for entry in entries {
            let row = changes[entry.change].row
            lastOfRow[row] = entry
            if entry.isFirst, expected == .asRecorded { isNew.insert(row) }
        }
        let last = entries.filter { lastOfRow[changes[$0.change].row]?.sequence == $0.sequence }
        let new = last.filter { isNew.contains(changes[$0.change].row) }
        let known = last.filter { !isNew.contains(changes[$0.change].row) }
        var commands: [Command] = []
        if !new.isEmpty {
            commands.append(Command(UploadStatements.insertRowState, rowStates(new)))
        }
        if !known.isEmpty {
            commands.append(Command(UploadStatements.writeRowState, rowStates(known)))
        }
        return commands
    }

    private func rowStates(_ entries: [LogEntry]) -> Bindings {
        let count = entries.count
        var tables = ArrayBinding(of: .int2, reserving: count)
        var keys = ArrayBinding(of: .bytea, reserving: count, bytes: count * 20)
        var versions = ArrayBinding(of: .int8, reserving: count)
        var sequences = ArrayBinding(of: .int8, reserving: count)
        var deleted = ArrayBinding(of: .bool, reserving: count)
        for entry in entries {
            let change = changes[entry.change]
            tables.append(change.row.table)
            change.row.key.withStoredBytes { keys.append(bytes: $0) }
            versions.append(entry.version)
            sequences.append(entry.sequence)
            deleted.append(change.operation == .delete)
        }
        var bindings = Bindings()
        bindings.bind(scope.id)
        for array in [tables, keys, versions, sequences, deleted] { bindings.bind(array) }
        return bindings
    }

    /// The statement that writes a change, with no rows.
    func withoutRows(like change: Change, isCreation: Bool) -> Command {
        command(
            BusinessWrites.Group(
                shape: BusinessWrites.Shape(change, isCreation: isCreation), entries: []))
    }

    func command(_ group: BusinessWrites.Group) -> Command {
        let shape = group.shape
        let table = statements.schema.tables[shape.table]
        var form = MaterializeStatement.Form(shape, of: table)
        let texts = shape.kind != .delete && form == .texts ? texts(group, of: table) : nil
        // What cannot be taken as text is PostgreSQL's to judge.
        if texts == nil { form = .json }
        var bindings = Bindings()
        if shape.kind == .delete || form == .texts {
            bindings.bind(keys(group.entries, of: table.registered))
        } else {
            bindings.bind(bytes: rows(group))
        }
        MaterializeStatement.bind(owner: scope, of: table.registered, to: &bindings)
        bindings.bind(Int64(group.entries.count))
        for array in texts ?? [] { bindings.bind(array) }
        return Command(
            statements.rows(
                shape.table, shape.kind, shape.columns, as: form, expecting: expected), bindings)
    }

    /// The values of each column that is written as text, in the order of the rows.
    ///
    /// - Returns: nil if a payload cannot be read, which validation rules out.
    private func texts(
        _ group: BusinessWrites.Group, of table: UploadTable
    ) -> [ArrayBinding]? {
        let places = table.registered.places(writing: group.columns)
        var slots = [Int?](repeating: nil, count: table.registered.columns.count)
        for (slot, place) in places.enumerated() { slots[place] = slot }
        var arrays = places.map { _ in
            ArrayBinding(of: .text, reserving: group.entries.count)
        }
        var values = [JSONSlice?](repeating: nil, count: places.count)
        for entry in group.entries {
            guard let payload = changes[entry.change].payload else { continue }
            var reader = JSONReader(UnsafeBufferPointer(rebasing: body[payload]))
            var next = 0
            do {
                try reader.readObject { reader, member throws(JSONError) in
                    let value = try reader.skipValue()
                    guard let column = PayloadShape.column(member, reader, table, hint: next)
                    else { return }
                    next = column + 1
                    if let slot = slots[column] { values[slot] = value }
                }
            } catch {
                return nil
            }
            for slot in arrays.indices {
                guard arrays[slot].append(values[slot], from: reader) else { return nil }
                values[slot] = nil
            }
        }
        return arrays
    }

    private func keys(_ entries: [LogEntry], of table: RegisteredTable) -> ArrayBinding {
        var keys = ArrayBinding(of: table.keyKind.type, reserving: entries.count)
        for entry in entries { keys.append(key: changes[entry.change].row.key) }
        return keys
    }

    /// The payloads as one JSON array, each with its row's key as the last member.
    private func rows(_ group: BusinessWrites.Group) -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(
            group.entries.reduce(2) { $0 + (changes[$1.change].payload?.count ?? 0) + 64 })
        json.append(UInt8(ascii: "["))
        for entry in group.entries {
            let change = changes[entry.change]
            guard let payload = change.payload else { continue }
            if json.count > 1 { json.append(UInt8(ascii: ",")) }
            let members = body[payload.lowerBound..<(payload.upperBound - 1)]
            json.append(contentsOf: members)
            if members.dropFirst().contains(where: { $0 > 0x20 }) { json.append(UInt8(ascii: ",")) }
            json.append(jsonString: MaterializeStatement.keyMember)
            json.append(UInt8(ascii: ":"))
            json.append(jsonString: change.row.key.text)
            json.append(UInt8(ascii: "}"))
        }
        json.append(UInt8(ascii: "]"))
        return json
    }
}

extension LogEntry {
    /// The change as the log has it.
    func tagged(_ change: Change) -> TaggedChange {
        TaggedChange(
            sequence: sequence, operation: change.operation.letter, version: version,
            changeID: change.id, contentHash: change.contentHash, microsecondsSince2000: time,
            key: change.row.key.withStoredBytes { Array($0) })
    }
}

extension ArrayBinding {
    /// Appends a value's text, or NULL.
    ///
    /// - Parameter value: no object and no array.
    /// - Returns: false if the value is a string that is no text.
    fileprivate mutating func append(_ value: JSONSlice?, from reader: JSONReader) -> Bool {
        guard let value, value.kind != .null else {
            appendNull()
            return true
        }
        if value.kind == .string, value.hasEscapes {
            guard let text = reader.text(of: value) else { return false }
            append(text)
            return true
        }
        let place = value.kind == .string ? value.content : value.range
        append(bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(reader.bytes)[place]))
        return true
    }
}
