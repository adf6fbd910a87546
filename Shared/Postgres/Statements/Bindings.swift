/// The parameter values of one execution, in PostgreSQL's binary form.
///
/// All values share one growing buffer; binding one allocates nothing of its own.
package struct Bindings: Sendable {
    /// What the protocol can count in one Bind message.
    static let maximumCount = 65_535

    /// Microseconds between 1970 and 2000, PostgreSQL's zero.
    private static let microsecondsTo2000: Int64 = 946_684_800_000_000

    /// Where a value lies in `storage`; a negative length is NULL.
    struct Slot: Sendable {
        let offset: Int
        let length: Int
        let type: PostgresType
    }

    // The first byte is padding: an empty value needs an address that is not nil, or libpq reads it
    // as NULL.
    private(set) var storage: [UInt8] = [0]
    private(set) var slots: [Slot] = []

    package init() {}

    /// Reserves room for `bytes` bytes of values in `count` parameters.
    package init(reserving count: Int, bytes: Int) {
        storage.reserveCapacity(bytes + 1)
        slots.reserveCapacity(count)
    }

    package var count: Int { slots.count }

    package mutating func bind(_ value: Int64?) {
        bind(value, as: .int8)
    }

    package mutating func bind(_ value: Int32?) {
        bind(value, as: .int4)
    }

    package mutating func bind(_ value: Int16?) {
        bind(value, as: .int2)
    }

    package mutating func bind(_ value: Bool?) {
        bind(value.map { $0 ? UInt8(1) : 0 }, as: .bool)
    }

    package mutating func bind(_ value: Double?) {
        bind(value?.bitPattern, as: .float8)
    }

    /// Binds a `timestamptz`, given in microseconds since 1970.
    package mutating func bind(microsecondsSince1970 value: Int64?) {
        bind(microsecondsSince2000: value.map { $0 &- Self.microsecondsTo2000 })
    }

    /// Binds a `timestamptz`, given in microseconds since 2000.
    package mutating func bind(microsecondsSince2000 value: Int64?) {
        bind(value, as: .timestamptz)
    }

    /// Binds text, or the text of a `json`, `name` or other type whose binary form is its text.
    package mutating func bind(_ value: String?) {
        guard var value else { return bindNull(as: .text) }
        value.withUTF8 { bind(raw: UnsafeRawBufferPointer($0), as: .text) }
    }

    /// Binds a `bytea`, the 16 bytes of a `uuid`, or the UTF-8 text of a `text` or `json`.
    package mutating func bind(bytes value: [UInt8]?) {
        guard let value else { return bindNull(as: .bytea) }
        value.withUnsafeBytes { bind(raw: $0, as: .bytea) }
    }

    /// Binds a copy of the bytes; see ``bind(bytes:)-([UInt8]?)``.
    package mutating func bind(bytes value: UnsafeRawBufferPointer) {
        bind(raw: value, as: .bytea)
    }

    /// Binds the text of a `jsonb` value, whose binary form is a version byte and the text.
    package mutating func bind(jsonb value: [UInt8]?) {
        guard let value else { return bindNull(as: .jsonb) }
        let offset = storage.count
        storage.append(ArrayBinding.jsonbVersion)
        storage.append(contentsOf: value)
        slots.append(Slot(offset: offset, length: storage.count - offset, type: .jsonb))
    }

    package mutating func bind(_ array: ArrayBinding) {
        let offset = storage.count
        array.write(to: &storage)
        let type = array.element.array ?? .unspecified
        slots.append(Slot(offset: offset, length: storage.count - offset, type: type))
    }

    /// The index of the first value whose type is not the declared one, where that matters.
    func mismatch(with types: [PostgresType]) -> Int? {
        for (index, slot) in slots.enumerated() where slot.length >= 0 {
            let wanted = types[index]
            let given = slot.type
            if wanted != given, wanted.demandsExactBinding || given.demandsExactBinding,
                wanted != .unspecified, given != .unspecified
            {
                return index
            }
        }
        return nil
    }

    private mutating func bind<Value: FixedWidthInteger>(_ value: Value?, as type: PostgresType) {
        guard let value else { return bindNull(as: type) }
        withUnsafeBytes(of: value.bigEndian) { bind(raw: $0, as: type) }
    }

    private mutating func bind(raw value: UnsafeRawBufferPointer, as type: PostgresType) {
        slots.append(Slot(offset: storage.count, length: value.count, type: type))
        storage.append(contentsOf: value)
    }

    private mutating func bindNull(as type: PostgresType) {
        slots.append(Slot(offset: 0, length: -1, type: type))
    }
}
