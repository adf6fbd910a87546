import GRDB

/// How a row from the server spells its key and its references on this device.
extension RowWriter {
    /// Whether a payload's key is spelled as on the wire.
    func isWire(
        _ value: DecodedValue, _ key: DeviceRowKey, _ payload: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard table.keyForm == .uuidText || table.keyForm == .text,
            case .slice(let range) = value
        else { return false }
        var wire = key.wire
        return wire.withUTF8 { $0.hasSameBytes(as: payload[range]) }
    }

    /// The spelling of a row that is new here: that of the row that its key refers to, otherwise
    /// the payload's if it is the same key. A column without a foreign key may repeat the payload's
    /// spelling.
    func spelling(
        of key: DeviceRowKey, in row: ReadRow, _ payload: UnsafeBufferPointer<UInt8>
    ) throws -> DatabaseValue {
        guard let index = row.plan.targets.firstIndex(where: { $0?.column.isKey == true }) else {
            return try keySpelling(key) ?? table.keyForm.local(key)
        }
        return try spelling(of: key, as: row.values[index], payload) ?? key.wire.databaseValue
    }

    /// - Parameter value: the payload's key.
    /// - Returns: nil for the wire's spelling.
    func spelling(
        of key: DeviceRowKey, as value: DecodedValue, _ payload: UnsafeBufferPointer<UInt8>
    ) throws -> DatabaseValue? {
        if table.keyForm == .uuidBlob || table.keyForm == .integer {
            return table.keyForm.local(key)
        }
        if let spelled = try keySpelling(key), !KeyForm.isWire(spelled, key) { return spelled }
        if isWire(value, key, payload) { return nil }
        let value = value.value(in: payload)
        return table.keyForm.key(fromLocal: value) == key ? value : table.keyForm.local(key)
    }

    /// The spelling of the row that this table's key refers to; nil if it refers to none.
    private func keySpelling(_ key: DeviceRowKey) throws -> DatabaseValue? {
        guard table.keyForm == .uuidText, let reference = table.key.reference,
            reference.form == .uuidText
        else { return nil }
        return try spellings?.spelling(of: key, in: reference)
    }

    /// A reference as the key that it names is spelled here.
    func spelledHere(
        _ value: DecodedValue, _ reference: KeyReference, _ payload: UnsafeBufferPointer<UInt8>
    ) throws -> DecodedValue {
        if case .null = value { return value }
        guard let key = reference.key(of: value.value(in: payload)),
            let spelled = try spellings?.spelling(of: key, in: reference)
        else { return value }
        switch spelled.storage {
        case .string(let text): return .text(text)
        case .blob(let data): return .blob(Array(data))
        default: return value
        }
    }

    /// The same for values that are already SQLite's, such as those of an older image of the row.
    func spelledHere(_ values: RowValues) throws -> RowValues {
        guard let spellings else { return values }
        var values = values
        for column in table.columns where !column.isKey {
            guard let reference = column.reference, let value = values[column.wireName],
                let key = reference.key(of: value)
            else { continue }
            values[column.wireName] = try spellings.spelling(of: key, in: reference)
        }
        return values
    }
}
