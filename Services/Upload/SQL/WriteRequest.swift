import Model
import Postgres
import Sidecar
import WireJSON

/// The writes of an upload: scope, log, row states and business rows, in this order, set-wise.
struct WriteRequest {
    let scope: NamedScope
    let source: Int32
    let changes: [Change]
    let entries: [LogEntry]
    let statements: BusinessStatements
    /// What the business rows are taken to be.
    let expected: MaterializeStatement.Expectation
    let body: UnsafeBufferPointer<UInt8>
    var arrangement = WriteArrangement.none

    var commands: [Command] { sidecarCommands + businessCommands }

    /// Those that note the changes.
    var sidecarCommands: [Command] {
        guard let last = entries.last else { return [] }
        var advance = Bindings()
        scope.bind(to: &advance)
        advance.bind(last.sequence)
        return [
            Command(UploadStatements.advanceScope, advance),
            Command(UploadStatements.appendLog, logBindings),
            Command(UploadStatements.writeRowState, rowStateBindings),
        ]
    }

    private var businessCommands: [Command] {
        guard arrangement.isNone else { return arrangedCommands }
        let groups = BusinessWrites(
            changes: changes, entries: entries, schema: statements.schema
        ).groups
        let deletes = groups.firstIndex { $0.kind == .delete } ?? groups.endIndex
        // In front of the first statement: all that read times and money read them alike.
        let opening =
            groups.contains(where: isCompared) ? [Command(UploadStatements.renderAsCapture)] : []
        let upserts = opening + groups[..<deletes].flatMap(commands)
        guard deletes < groups.endIndex else { return upserts }
        return upserts + [Command(UploadStatements.enterDeletes)]
            + groups[deletes...].flatMap(commands)
    }

    /// What writes a group's rows, and compares them with what the table holds then; whatever the
    /// order of the groups.
    func commands(_ group: BusinessWrites.Group) -> [Command] {
        guard let (comparison, entries) = comparison(group) else { return [command(group)] }
        return [command(group), stored(entries, of: group.table, comparison)]
    }

    /// Whether a statement follows that compares some of a group's rows.
    func isCompared(_ group: BusinessWrites.Group) -> Bool { comparison(group) != nil }

    private func comparison(
        _ group: BusinessWrites.Group
    ) -> (statement: Statement, entries: [LogEntry])? {
        guard
            let comparison = statements.stored(
                group.table, group.kind, group.columns, expecting: expected,
                isOverruled: group.isOverruled)
        else { return nil }
        let entries =
            comparison.concernsOrdinary
            ? group.entries : group.entries.filter { !changes[$0.change].isOrdinary }
        return entries.isEmpty ? nil : (comparison.statement, entries)
    }

    /// The comparison of what some changes of a group wrote with what the table holds.
    private func stored(_ entries: [LogEntry], of table: Int, _ statement: Statement) -> Command {
        let table = statements.schema.tables[table].registered
        let count = entries.count
        var sequences = ArrayBinding(of: .int8, reserving: count)
        var keys = ArrayBinding(
            of: table.keyKind == .uuid ? .uuid : .text, reserving: count)
        for entry in entries {
            sequences.append(entry.sequence)
            changes[entry.change].row.key.withStoredBytes { keys.append(bytes: $0) }
        }
        var bindings = Bindings()
        scope.bind(to: &bindings)
        bindings.bind(sequences)
        bindings.bind(keys)
        bindings.bind(Int64(count))
        return Command(statement, bindings)
    }

    private var logBindings: Bindings {
        let count = entries.count
        var sequences = ArrayBinding(of: .int8, reserving: count)
        var tables = ArrayBinding(of: .int2, reserving: count)
        var operations = ArrayBinding(of: .char, reserving: count)
        var keys = ArrayBinding(of: .bytea, reserving: count, bytes: count * 20)
        var versions = ArrayBinding(of: .int8, reserving: count)
        let payloadBytes = entries.reduce(0) { $0 + (changes[$1.change].payload?.count ?? 0) + 4 }
        var payloads = ArrayBinding(of: .json, reserving: count, bytes: payloadBytes)
        var ids = ArrayBinding(of: .int8, reserving: count)
        var hashes = ArrayBinding(of: .int8, reserving: count)
        for entry in entries {
            let change = changes[entry.change]
            sequences.append(entry.sequence)
            tables.append(change.row.table)
            operations.append(char: change.operation.letter)
            change.row.key.withStoredBytes { keys.append(bytes: $0) }
            versions.append(entry.version)
            if let payload = change.payload {
                payloads.append(
                    bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(body)[payload]))
            } else {
                payloads.appendNull()
            }
            ids.append(change.id)
            hashes.append(change.contentHash)
        }
        var bindings = Bindings(reserving: 10, bytes: payloadBytes + count * 100)
        bindings.bind(scope.id)
        bindings.bind(source)
        for array in [sequences, tables, operations, keys, versions, payloads, ids, hashes] {
            bindings.bind(array)
        }
        return bindings
    }

    /// Each row once, as its last change of the batch leaves it.
    private var rowStateBindings: Bindings {
        var lastOfRow: [RowID: Int] = [:]
        for (position, entry) in entries.enumerated() {
            lastOfRow[changes[entry.change].row] = position
        }
        let count = lastOfRow.count
        var tables = ArrayBinding(of: .int2, reserving: count)
        var keys = ArrayBinding(of: .bytea, reserving: count, bytes: count * 20)
        var versions = ArrayBinding(of: .int8, reserving: count)
        var sequences = ArrayBinding(of: .int8, reserving: count)
        var deleted = ArrayBinding(of: .bool, reserving: count)
        for (position, entry) in entries.enumerated() {
            let change = changes[entry.change]
            guard lastOfRow[change.row] == position else { continue }
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
        let kind = MaterializeStatement.Kind(change, isCreation: isCreation)
        return command(
            BusinessWrites.Group(
                table: change.table, kind: kind, columns: change.writtenColumns(kind),
                isOverruled: change.isOverruled, entries: []))
    }

    func command(_ group: BusinessWrites.Group) -> Command {
        let table = statements.schema.tables[group.table].registered
        var bindings = Bindings()
        if group.kind == .delete {
            var keys = ArrayBinding(
                of: table.keyKind == .uuid ? .uuid : .text, reserving: group.entries.count)
            for entry in group.entries {
                changes[entry.change].row.key.withStoredBytes { keys.append(bytes: $0) }
            }
            bindings.bind(keys)
        } else {
            bindings.bind(bytes: rows(group))
        }
        MaterializeStatement.bind(owner: scope, of: table, to: &bindings)
        bindings.bind(Int64(group.entries.count))
        return Command(
            statements.rows(
                group.table, group.kind, group.columns, expecting: expected), bindings)
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
