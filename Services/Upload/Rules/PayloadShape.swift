import Foundation
import Model
import Sidecar
import WireJSON

/// What the rules need of a payload: which columns it names and which rows it points to.
///
/// One pass over the top-level members; nothing is decoded but the values of keys.
struct PayloadShape {
    /// Most members remembered that name no column: more than a table can have columns.
    private static let maximumStrangers = 2000
    /// PostgreSQL has no longer names.
    private static let maximumNameBytes = 63

    var columns = ColumnSet()
    /// See ``Change/defaulted``.
    var defaulted = ColumnSet()
    /// See ``Change/isOrdinary``.
    var isOrdinary = true
    /// See ``Change/converted``.
    var converted = ColumnSet()
    /// See ``Change/refusedNull``.
    var refusedNull: Int?
    /// See ``Change/needsJSON``.
    var needsJSON = false
    /// See ``Change/strangers``.
    var strangers: [String] = []
    /// See ``Change/hasMore``.
    var hasMore = false
    var needs: [ParentReference] = []
    var provides: [ParentReference] = []
    /// It names columns that its device does not write: see ``written(_:of:roles:)``.
    var isReduced = false
    /// See ``Change/isOverruled``.
    var isOverruled = false

    /// - Parameters:
    ///   - payload: the JSON object's own bytes, already known to be valid.
    ///   - roles: the caller's.
    /// - Throws: a rejection when a value is of a kind that its column does not take, or a foreign
    ///   key's value cannot be one.
    static func read(
        _ payload: UnsafeBufferPointer<UInt8>, of table: UploadTable, key: RowKey,
        in schema: UploadSchema, roles: Set<String>
    ) throws(ShapeProblem) -> PayloadShape {
        var shape = PayloadShape()
        var values: [Int: JSONSlice] = [:]
        var misfit: ShapeProblem?
        var reader = JSONReader(payload)
        var next = 0
        do {
            try reader.readObject { reader, member throws(JSONError) in
                let slice = try reader.skipValue()
                let named = column(member, reader, table, hint: next)
                if table.withholds, isWithheld(member, named, reader, table, roles) {
                    shape.isReduced = true
                    // Columns that stay on the server have no place in the table here.
                    shape.isOverruled = shape.isOverruled || named != nil
                    return
                }
                guard let column = named else {
                    shape.hasMore = true
                    shape.remember(stranger: member, reader)
                    return
                }
                if !table.shownColumns.contains(column) { shape.hasMore = true }
                next = column + 1
                shape.columns.insert(column)
                if slice.kind == .object || slice.kind == .array {
                    shape.needsJSON = shape.needsJSON || table.textColumns.contains(column)
                }
                if slice.kind == .null {
                    if table.takingDefaults.contains(column) { shape.defaulted.insert(column) }
                    if table.refusingNulls.contains(column) {
                        shape.refusedNull = min(column, shape.refusedNull ?? column)
                    }
                } else {
                    let flaw = shape.judge(slice, of: column, reader, table)
                    misfit = misfit ?? flaw
                }
                if table.valueColumns.contains(column) { values[column] = slice }
            }
        } catch {
            throw ShapeProblem(column: "payload", reason: error.description)
        }
        if let misfit { throw misfit }
        for index in table.foreignKeys {
            let foreignKey = schema.foreignKeys[index]
            if let tuple = try tuple(
                foreignKey.payloadPairs.map { ($0.childColumn, $0.type) }, values, reader, table)
            {
                shape.needs.append(ParentReference(foreignKey: index, values: tuple))
            }
        }
        for index in table.referencing {
            let pairs = schema.foreignKeys[index].payloadPairs
            if let tuple = try provided(pairs, key: key, values, reader, table) {
                shape.provides.append(ParentReference(foreignKey: index, values: tuple))
            }
        }
        return shape
    }

    /// Finds out whether a value may be stored otherwise than it was sent.
    ///
    /// - Parameter slice: of any kind but null.
    /// - Returns: why the column does not take it; nil if it may.
    private mutating func judge(
        _ slice: JSONSlice, of column: Int, _ reader: JSONReader, _ table: UploadTable
    ) -> ShapeProblem? {
        if let ordinary = table.ordinaryValues[column] {
            isOrdinary =
                isOrdinary && !slice.hasEscapes
                && ordinary.covers(
                    reader.bytes[slice.kind == .string ? slice.content : slice.range],
                    isString: slice.kind == .string)
        }
        switch table.valueRules[column]?.judge(slice, reader) {
        case nil, .own: return nil
        case .converted:
            converted.insert(column)
            isOverruled = true
            return nil
        case .refused(let reason):
            return ShapeProblem(column: table.registered.columns[column].name, reason: reason)
        }
    }

    /// Whether a member is left out: of a column that stays on the server, or that is read-only for
    /// the caller.
    private static func isWithheld(
        _ member: JSONSlice, _ column: Int?, _ reader: JSONReader, _ table: UploadTable,
        _ roles: Set<String>
    ) -> Bool {
        guard let column else {
            // In any case of letters: a device that knows the column may write its own name.
            return reader.text(of: member).map { table.exceptNames.contains($0.lowercased()) }
                ?? false
        }
        return table.readOnly[column].map { $0.isDisjoint(with: roles) } ?? false
    }

    /// The payload without the members that are left out; the others byte for byte.
    static func written(
        _ payload: UnsafeBufferPointer<UInt8>, of table: UploadTable, roles: Set<String>
    ) -> [UInt8] {
        var kept: [UInt8] = [UInt8(ascii: "{")]
        var reader = JSONReader(payload)
        // It was read before.
        try? reader.readObject { reader, member throws(JSONError) in
            let value = try reader.skipValue()
            let named = column(member, reader, table, hint: 0)
            if isWithheld(member, named, reader, table, roles) { return }
            if kept.count > 1 { kept.append(UInt8(ascii: ",")) }
            kept.append(contentsOf: payload[member.range.lowerBound..<value.range.upperBound])
        }
        kept.append(UInt8(ascii: "}"))
        return kept
    }

    private mutating func remember(stranger member: JSONSlice, _ reader: JSONReader) {
        guard strangers.count < Self.maximumStrangers,
            let name = reader.text(of: member), name.utf8.count <= Self.maximumNameBytes
        else { return }
        strangers.append(name)
    }

    /// The column that a member names, however the name is escaped.
    static func column(
        _ member: JSONSlice, _ reader: JSONReader, _ table: UploadTable, hint: Int
    ) -> Int? {
        guard member.hasEscapes else {
            return table.column(
                UnsafeBufferPointer(rebasing: reader.bytes[member.content]), hint: hint)
        }
        guard let name = reader.text(of: member) else { return nil }
        return Array(name.utf8).withUnsafeBufferPointer { table.column($0, hint: hint) }
    }

    /// The foreign key's values; nil if one is absent, null or empty, which points nowhere.
    private static func tuple(
        _ columns: [(Int, CheckedForeignKey.ValueType)], _ values: [Int: JSONSlice],
        _ reader: JSONReader,
        _ table: UploadTable
    ) throws(ShapeProblem) -> [ParentValue]? {
        var tuple: [ParentValue] = []
        for (column, type) in columns {
            guard let slice = values[column], slice.kind != .null,
                !(slice.kind == .string && slice.content.isEmpty)
            else { return nil }
            guard let value = value(slice, type, reader) else {
                throw ShapeProblem(
                    column: table.registered.columns[column].name,
                    reason: "is no value of type \(table.registered.columns[column].typeName)")
            }
            tuple.append(value)
        }
        return tuple
    }

    private static func provided(
        _ pairs: [CheckedForeignKey.Pair], key: RowKey, _ values: [Int: JSONSlice],
        _ reader: JSONReader,
        _ table: UploadTable
    ) throws(ShapeProblem) -> [ParentValue]? {
        var tuple: [ParentValue] = []
        for pair in pairs {
            if pair.isParentKey {
                tuple.append(ParentValue(key))
            } else if let column = table.registered.columns.firstIndex(where: {
                $0.name == pair.parentColumn
            }),
                let slice = values[column], let value = value(slice, pair.type, reader)
            {
                tuple.append(value)
            } else {
                return nil
            }
        }
        return tuple
    }

    private static func value(
        _ slice: JSONSlice, _ type: CheckedForeignKey.ValueType, _ reader: JSONReader
    ) -> ParentValue? {
        switch (slice.kind, type) {
        case (.string, .uuid): reader.text(of: slice).flatMap(uuid).map(ParentValue.uuid)
        case (.string, .text): reader.text(of: slice).map { .text(ExactText($0)) }
        case (.string, .integer):
            reader.text(of: slice).flatMap { Int64($0) }.map(ParentValue.integer)
        case (.number, .integer): reader.integer(of: slice).map(ParentValue.integer)
        case (.number, .text):
            .text(ExactText(String(decoding: reader.bytes[slice.range], as: UTF8.self)))
        default: nil
        }
    }

    /// A uuid as clients write it: as text, or as the base64 of its 16 bytes, which a BLOB column on
    /// the device gives.
    private static func uuid(_ text: String) -> RowKey? {
        if let key = RowKey.uuid(from: text) { return key }
        guard text.utf8.count == 24, let data = Data(base64Encoded: text), data.count == 16 else {
            return nil
        }
        return Array(data).withUnsafeBufferPointer { RowKey(stored: $0, kind: .uuid) }
    }
}

/// A value in a payload that its column could never take.
struct ShapeProblem: Error {
    let column: String
    let reason: String
}

extension ParentValue {
    /// The row key as a value that points to it.
    init(_ key: RowKey) {
        switch key {
        case .uuid: self = .uuid(key)
        case .text(let text): self = .text(ExactText(text))
        case .integer(let number): self = .integer(number)
        }
    }
}
