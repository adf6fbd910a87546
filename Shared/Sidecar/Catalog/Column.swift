import Postgres

/// A column of a business table.
package struct Column: Hashable, Sendable {
    package let name: String
    /// As in a CREATE TABLE, with its modifier: `numeric(10,2)`.
    package let typeName: String
    /// The object identifier of the type.
    package let type: UInt32
    /// The object identifier of the type, of the base type for a domain.
    package let baseType: UInt32
    /// The base type without a modifier.
    package let plainType: PlainType
    /// The column's type has a modifier, such as a length or a precision.
    package let hasModifier: Bool
    /// Generated, or identity that takes no value: never written.
    package let isReadOnly: Bool
    /// NOT NULL with no default of its own: a new row must bring it.
    package let isRequired: Bool
    /// A new row that does not bring it gets a value, perhaps.
    package let hasDefault: Bool
    /// It never holds NULL.
    package let isNotNull: Bool

    /// - Parameter plainType: nil for what the other parameters suggest.
    package init(
        name: String, typeName: String, type: UInt32? = nil, baseType: UInt32,
        plainType: PlainType? = nil, hasModifier: Bool = false, isReadOnly: Bool = false,
        isRequired: Bool = false, hasDefault: Bool = false, isNotNull: Bool = false
    ) {
        self.name = name
        self.typeName = typeName
        self.type = type ?? baseType
        self.baseType = baseType
        self.plainType = plainType ?? PlainType(name: typeName, category: 0)
        self.hasModifier = hasModifier
        self.isReadOnly = isReadOnly
        self.isRequired = isRequired
        self.hasDefault = hasDefault
        self.isNotNull = isNotNull
    }
}

/// A type without a modifier, which cuts and rounds nothing that it could hold.
package struct PlainType: Hashable, Sendable {
    /// As SQL takes it: `numeric`, `bpchar`.
    package let name: String
    /// The letter of `pg_type.typcategory`.
    package let category: UInt8

    package init(name: String, category: UInt8) {
        self.name = name
        self.category = category
    }

    package var isArray: Bool { category == UInt8(ascii: "A") }
    package var isEnum: Bool { category == UInt8(ascii: "E") }
}

extension Column {
    /// Of text, whole numbers, uuids and the like: what such a column stores is what it was given,
    /// or the statement fails. Any other type may round, pad, cut or complete a value, now or after
    /// an update of the extension that it belongs to; a domain may hide a modifier.
    private static let exactTypes: Set<UInt32> = Set(
        [
            PostgresType.text, .varchar, .bool, .int2, .int4, .int8, .bytea, .uuid, .json, .jsonb,
        ].map(\.rawValue) + [SentValue.numeric])

    /// The column's type stores each value as it was given, or refuses it.
    package var isExact: Bool {
        type == baseType && !hasModifier
            && (Self.exactTypes.contains(baseType) || plainType.isEnum)
    }

    /// What the column's type stores unchanged, apart from values that it cannot keep; nil for a
    /// type that keeps all values or may keep none.
    package var ordinary: OrdinaryValue? {
        guard type == baseType, !hasModifier else { return nil }
        return OrdinaryValue(type: baseType)
    }

    /// `null` in a new row means its default: it could not be stored.
    package var takesDefaultForNull: Bool { isNotNull && hasDefault && !isReadOnly }
}
