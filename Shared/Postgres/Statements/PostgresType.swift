/// A PostgreSQL type by its object identifier, as sent when a statement is prepared.
package struct PostgresType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Lets the server infer the type from the statement.
    package static let unspecified = PostgresType(rawValue: 0)

    package static let bool = PostgresType(rawValue: 16)
    package static let bytea = PostgresType(rawValue: 17)
    /// The one-byte type `"char"`, with the quotes; not `char(n)`.
    package static let char = PostgresType(rawValue: 18)
    package static let name = PostgresType(rawValue: 19)
    package static let int8 = PostgresType(rawValue: 20)
    package static let int2 = PostgresType(rawValue: 21)
    package static let int4 = PostgresType(rawValue: 23)
    package static let text = PostgresType(rawValue: 25)
    package static let json = PostgresType(rawValue: 114)
    /// `char(n)`.
    package static let bpchar = PostgresType(rawValue: 1042)
    package static let varchar = PostgresType(rawValue: 1043)
    package static let float8 = PostgresType(rawValue: 701)
    package static let timestamptz = PostgresType(rawValue: 1184)
    package static let uuid = PostgresType(rawValue: 2950)
    package static let jsonb = PostgresType(rawValue: 3802)

    package static let boolArray = PostgresType(rawValue: 1000)
    package static let byteaArray = PostgresType(rawValue: 1001)
    package static let charArray = PostgresType(rawValue: 1002)
    package static let nameArray = PostgresType(rawValue: 1003)
    package static let int8Array = PostgresType(rawValue: 1016)
    package static let int2Array = PostgresType(rawValue: 1005)
    package static let int4Array = PostgresType(rawValue: 1007)
    package static let textArray = PostgresType(rawValue: 1009)
    package static let jsonArray = PostgresType(rawValue: 199)
    package static let float8Array = PostgresType(rawValue: 1022)
    package static let timestamptzArray = PostgresType(rawValue: 1185)
    package static let uuidArray = PostgresType(rawValue: 2951)
    package static let jsonbArray = PostgresType(rawValue: 3807)

    private static let arrayOfElement: [PostgresType: PostgresType] = [
        .bool: .boolArray, .bytea: .byteaArray, .char: .charArray, .name: .nameArray,
        .int8: .int8Array, .int2: .int2Array, .int4: .int4Array, .text: .textArray,
        .json: .jsonArray, .float8: .float8Array, .timestamptz: .timestamptzArray,
        .uuid: .uuidArray, .jsonb: .jsonbArray,
    ]

    private static let elementOfArray = Dictionary(
        uniqueKeysWithValues: arrayOfElement.map { ($0.value, $0.key) })

    /// The type of this array type's elements; nil when this is no array type known here.
    package var arrayElement: PostgresType? {
        Self.elementOfArray[self]
    }

    /// The array type with elements of this type; nil when this module does not know it.
    package var array: PostgresType? {
        Self.arrayOfElement[self]
    }

    /// Types whose binary form has one width and no structure. A value of another type sent for
    /// one of them could be misread without an error, so bindings are checked against these.
    var demandsExactBinding: Bool {
        switch self {
        case .bool, .int2, .int4, .int8, .float8, .timestamptz, .jsonb: true
        default: arrayElement != nil
        }
    }
}
