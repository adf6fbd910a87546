import Foundation
import GRDB
import GRDBSQLite
import WireJSON

/// Writes server rows into one app table, with one prepared statement per set of columns.
///
/// Statements name and quote their columns and are UPSERTs. A row is never replaced, so no cascade
/// runs and no column that the server did not name is reset (hazards C1, C11).
final class RowWriter {
    let table: TableSchema
    let db: Database
    private var plans: [ColumnPlan] = []
    private let deleteStatement: RawStatement
    /// Whether the app has its own triggers on the table.
    let hasAppTriggers: Bool
    /// The columns in which such a trigger gave a row of the server's another value.
    var altered: Set<String> = []
    /// Spells references; nil if the table has none that can be spelled in several ways.
    let spellings: Spellings?
    /// The values of the last payload that the table cannot give back as they came.
    private(set) var inexact: [ExactValue] = []
    /// Rows that were written under another spelling than the wire's and were not here before.
    var newSpellings: [DeviceRowKey: DatabaseValue] = [:]

    init(_ db: Database, _ table: TableSchema) throws {
        self.db = db
        self.table = table
        let hasReferences = table.columns.contains { $0.reference?.form.hasSpellings == true }
        spellings = hasReferences ? try Spellings(db: db) : nil
        hasAppTriggers = try Self.hasAppTriggers(db, table)
        deleteStatement = try RawStatement(
            db, "DELETE FROM \(table.quotedName) WHERE \(table.quotedKey) = ?")
    }

    /// The values of columns that this table does not have, as a JSON object.
    typealias SetAside = [UInt8]

    /// Writes a payload.
    ///
    /// - Parameters:
    ///   - local: the key as the row spells it; nil uses the payload's spelling if it is the same
    ///     key.
    /// - Returns: the spelling used, and the values of unknown columns.
    /// - Throws: `RowFlaw` if the payload does not fit the table, or the database's error.
    func upsert(
        _ payload: UnsafeBufferPointer<UInt8>, key: DeviceRowKey, local: DatabaseValue?
    ) throws -> (local: DatabaseValue, unknown: SetAside?) {
        let row = try read(payload)
        let spelling = try local ?? spelling(of: key, in: row, payload)
        let statement = try row.plan.statement(db, table)
        var hasKey = false
        for (value, target) in zip(row.values, row.plan.targets) {
            guard let target else { continue }
            if target.column.isKey {
                hasKey = true
                statement.bind(spelling, at: target.parameter)
            } else {
                value.bind(statement, at: target.parameter, bytes: payload)
            }
        }
        if !hasKey { statement.bind(spelling, at: row.plan.keyParameter) }
        defer { statement.clear() }
        try statement.run(db)
        if hasAppTriggers {
            if row.plan.alwaysWrites { try expectWritten() }
            try noteAltered(row, spelling, payload)
        }
        if local == nil { rememberSpelling(spelling, of: key) }
        return (spelling, row.plan.hasUnknown ? unknownColumns(payload) : nil)
    }

    /// Remembers how a row that is new here is spelled, for rows that refer to it already.
    func rememberSpelling(_ local: DatabaseValue, of key: DeviceRowKey) {
        if table.keyForm == .uuidText, !KeyForm.isWire(local, key) { newSpellings[key] = local }
    }

    func delete(local: DatabaseValue) throws {
        deleteStatement.bind(local, at: 1)
        try deleteStatement.run(db)
        if hasAppTriggers { try expectDeleted(local) }
    }

    /// Writes values that are already SQLite's, such as those of a merge.
    func upsert(_ values: RowValues, local: DatabaseValue) throws {
        var values = try spelledHere(values)
        values[table.key.wireName] = local
        let columns = table.columns.filter { values[$0.wireName] != nil }
        let statement = try RawStatement(db, ColumnPlan.sql(table, columns))
        for (index, column) in columns.enumerated() {
            statement.bind(values[column.wireName] ?? .null, at: Int32(index + 1))
        }
        try statement.run(db)
        if hasAppTriggers, columns.count > 1 { try expectWritten() }
    }

    /// A payload's values by column, as the table would store them.
    func values(of payload: UnsafeBufferPointer<UInt8>) throws -> RowValues {
        let row = try read(payload)
        var values: RowValues = [:]
        for (value, target) in zip(row.values, row.plan.targets) {
            if let column = target?.column {
                values[column.wireName] = try stored(value.value(in: payload), in: column)
            }
        }
        return values
    }

    /// A value as SQLite has it once it is in the column: of a text in a column of numbers it makes
    /// a number.
    func stored(_ value: DatabaseValue, in column: Column) throws -> DatabaseValue {
        guard case .string(let text) = value.storage, column.affinity.isOfNumbers,
            Exactness.isNumber(text)
        else { return value }
        let type = column.affinity == .real ? "REAL" : "NUMERIC"
        let statement = try db.cachedStatement(sql: "SELECT CAST(? AS \(type))")
        return try DatabaseValue.fetchOne(statement, arguments: [text]) ?? value
    }

    // MARK: - Reading a payload

    struct ReadRow {
        let plan: ColumnPlan
        let values: [DecodedValue]
    }

    func read(_ payload: UnsafeBufferPointer<UInt8>) throws -> ReadRow {
        var values: [DecodedValue] = []
        let plan = try read(payload, into: &values)
        return ReadRow(plan: plan, values: values)
    }

    /// Appends a payload's values to the array, so that rows that are written together share one
    /// array. References are spelled as their rows are here.
    ///
    /// - Throws: `RowFlaw`, or a database error; nothing was appended then.
    func read(
        _ payload: UnsafeBufferPointer<UInt8>, into values: inout [DecodedValue]
    ) throws -> ColumnPlan {
        let start = values.count
        let plan = try decode(payload, into: &values)
        guard spellings != nil else { return plan }
        do {
            for (index, reference) in plan.references {
                values[start + index] = try spelledHere(values[start + index], reference, payload)
            }
        } catch {
            values.removeLast(values.count - start)
            throw error
        }
        return plan
    }

    private func decode(
        _ payload: UnsafeBufferPointer<UInt8>, into values: inout [DecodedValue]
    ) throws(RowFlaw) -> ColumnPlan {
        if let plan = plans.last, try read(payload, following: plan, into: &values) { return plan }
        let names = try names(in: payload)
        let plan: ColumnPlan
        if let index = plans.firstIndex(where: { $0.hasNames(names.map(\.raw)) }) {
            plan = plans.remove(at: index)
        } else {
            plan = ColumnPlan(names, table)
        }
        plans.append(plan)
        guard try read(payload, following: plan, into: &values) else {
            throw RowFlaw("the payload cannot be read")
        }
        return plan
    }

    /// - Returns: false, with nothing appended, unless the payload has exactly the plan's keys in
    ///   the plan's order.
    private func read(
        _ payload: UnsafeBufferPointer<UInt8>, following plan: ColumnPlan,
        into values: inout [DecodedValue]
    ) throws(RowFlaw) -> Bool {
        var reader = JSONReader(payload, rules: JSONRules(refusesDuplicateKeys: false))
        let start = values.count
        inexact.removeAll(keepingCapacity: true)
        var matches = true
        var flaw: RowFlaw?
        do throws(JSONError) {
            try reader.readObject { reader, key throws(JSONError) in
                let slice = try reader.skipValue()
                let index = values.count - start
                guard matches, plan.isName(index, payload[key.content]) else {
                    matches = false
                    return
                }
                guard let affinity = plan.affinities[index] else { return values.append(.null) }
                if !Exactness.returns(
                    slice, as: affinity, isOfJSON: plan.areOfJSON[index], in: payload)
                {
                    remember(slice, plan.targets[index]?.column, payload)
                }
                do throws(RowFlaw) {
                    values.append(try ValueDecoder(bytes: payload).decode(slice, as: affinity))
                } catch {
                    let name = plan.targets[index]?.column.wireName ?? ""
                    flaw = flaw ?? RowFlaw("\(name) \(error)")
                    values.append(.null)
                }
            }
        } catch {
            values.removeLast(values.count - start)
            throw RowFlaw(error.description)
        }
        matches = matches && values.count - start == plan.nameCount
        if matches, flaw == nil { return true }
        values.removeLast(values.count - start)
        if matches, let flaw { throw flaw }
        return false
    }

    private func remember(
        _ slice: JSONSlice, _ column: Column?, _ payload: UnsafeBufferPointer<UInt8>
    ) {
        // Keys and references to them may have a spelling of their own.
        guard let column, !column.isKey,
            column.reference == nil || column.reference?.form == .integer
        else { return }
        let wire = String(decoding: payload[slice.range], as: UTF8.self)
        inexact.append(ExactValue(column: column.wireName, wire: wire))
    }

    /// The payload's keys, as raw bytes and as text.
    private func names(
        in payload: UnsafeBufferPointer<UInt8>
    ) throws(RowFlaw) -> [(raw: [UInt8], text: String?)] {
        var reader = JSONReader(payload, rules: JSONRules(refusesDuplicateKeys: false))
        var names: [(raw: [UInt8], text: String?)] = []
        do throws(JSONError) {
            try reader.readObject { reader, key throws(JSONError) in
                names.append((Array(payload[key.content]), reader.text(of: key)))
                _ = try reader.skipValue()
            }
        } catch { throw RowFlaw(error.description) }
        return names
    }

    func unknownColumns(_ payload: UnsafeBufferPointer<UInt8>) -> SetAside? {
        let known = Set(table.columns.map(\.wireName))
        var reader = JSONReader(payload, rules: JSONRules(refusesDuplicateKeys: false))
        var object: [UInt8] = []
        try? reader.readObject { reader, key throws(JSONError) in
            let value = try reader.skipValue()
            guard let name = reader.text(of: key), !known.contains(name) else { return }
            object.append(byte: object.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","))
            object.append(contentsOf: payload[key.range])
            object.append(byte: UInt8(ascii: ":"))
            object.append(contentsOf: payload[value.range])
        }
        if object.isEmpty { return nil }
        object.append(byte: UInt8(ascii: "}"))
        return object
    }
}

/// Which column and parameter each key of a payload belongs to.
final class ColumnPlan {
    struct Target {
        let column: Column
        let parameter: Int32
    }

    /// The keys as they are written, one after the other. Comparing them this way avoids an array's
    /// reference counting.
    private let names: UnsafeMutableBufferPointer<UInt8>
    /// The range of each key in `names`.
    private let nameRanges: [Range<Int>]
    /// nil for a key that is not a column here.
    let targets: [Target?]
    /// The targets' affinities and parameters, separate for the same reason.
    let affinities: [Affinity?]
    let areOfJSON: [Bool]
    let parameters: [Int32?]
    /// The places of values that refer to rows whose keys can be spelled in several ways, apart
    /// from the row's own key.
    let references: [(index: Int, reference: KeyReference)]
    let keyParameter: Int32
    /// The index of the row's key; nil if none or several of the names are the key.
    let keyIndex: Int?
    let hasUnknown: Bool
    /// Whether the statement writes a row that is here already: it has other columns than the key.
    var alwaysWrites: Bool { columns.count > 1 }
    private let columns: [Column]
    private var prepared: RawStatement?
    private var preparedInserts: [Int: RawStatement] = [:]

    var columnCount: Int { columns.count }
    var nameCount: Int { nameRanges.count }

    init(_ names: [(raw: [UInt8], text: String?)], _ table: TableSchema) {
        var nameRanges: [Range<Int>] = []
        for name in names {
            let start = nameRanges.last?.upperBound ?? 0
            nameRanges.append(start..<start + name.raw.count)
        }
        self.nameRanges = nameRanges
        self.names = .allocate(capacity: nameRanges.last?.upperBound ?? 0)
        _ = self.names.initialize(from: names.flatMap(\.raw))
        var columns: [Column] = []
        let targets: [Target?] = names.map { name in
            guard let column = table.columns.first(where: { $0.wireName == name.text }) else {
                return nil
            }
            if let index = columns.firstIndex(of: column) {
                return Target(column: column, parameter: Int32(index + 1))
            }
            columns.append(column)
            return Target(column: column, parameter: Int32(columns.count))
        }
        if let index = columns.firstIndex(where: \.isKey) {
            keyParameter = Int32(index + 1)
        } else {
            columns.append(table.key)
            keyParameter = Int32(columns.count)
        }
        let keys = targets.indices.filter { targets[$0]?.column.isKey == true }
        keyIndex = keys.count == 1 ? keys[0] : nil
        hasUnknown = targets.contains { $0 == nil }
        self.targets = targets
        affinities = targets.map { $0?.column.affinity }
        areOfJSON = targets.map { $0?.column.isOfJSON ?? false }
        parameters = targets.map { $0?.parameter }
        references = targets.enumerated().compactMap { index, target in
            guard let column = target?.column, !column.isKey, let reference = column.reference,
                reference.form.hasSpellings
            else { return nil }
            return (index, reference)
        }
        self.columns = columns
    }

    deinit { names.deallocate() }

    /// Whether the key at an index is written like `name`.
    func isName(_ index: Int, _ name: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        guard index < nameRanges.count else { return false }
        let own = UnsafeBufferPointer(rebasing: names[nameRanges[index]])
        return own.hasSameBytes(as: name)
    }

    func hasNames(_ other: [[UInt8]]) -> Bool {
        other.count == nameRanges.count
            && zip(nameRanges, other).allSatisfy { range, name in names[range].elementsEqual(name) }
    }

    func statement(_ db: Database, _ table: TableSchema) throws -> RawStatement {
        if let prepared { return prepared }
        let statement = try RawStatement(db, Self.sql(table, columns))
        prepared = statement
        return statement
    }

    /// A plain insert of the given number of rows.
    func insertStatement(_ db: Database, _ table: TableSchema, rows: Int) throws -> RawStatement {
        if let prepared = preparedInserts[rows] { return prepared }
        let values = Self.values(table, columns, rows: rows)
        let statement = try RawStatement(db, "INSERT OR FAIL \(values)")
        preparedInserts[rows] = statement
        return statement
    }
}
