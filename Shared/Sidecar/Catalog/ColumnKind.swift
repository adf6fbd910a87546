import Postgres

/// What a column's values are on the wire: which kind of JSON PostgreSQL writes them as, and what
/// devices need to know to keep them.
package enum ColumnKind: Hashable, Sendable {
    case boolean
    /// Whole numbers.
    case integer
    case float
    /// `numeric`: a number, or its digits as a string.
    case decimal
    case uuid
    /// `bytea`, in base64.
    case bytes
    /// An element of `bytea[]`, which PostgreSQL writes in hexadecimal.
    case hexadecimal
    /// `timestamptz`.
    case instant
    /// `timestamp` and `date`.
    case date
    /// `time`, `timetz` and `interval`.
    case clock
    case text
    /// Types that a number is read as: `money`, `bit`, `oid`.
    case digits
    /// Other types that are written as strings, such as `inet`, ranges, `point`.
    case other
    case json
    indirect case array(ColumnKind)
    /// A composite type: an object.
    case composite
    /// The extension's type: an object of strings.
    case hstore
    /// A type of the team's or of an extension.
    case unknown

    package init(_ column: Column) {
        let type = column.baseType
        if let kind = Self.kinds[type] {
            self = kind
        } else if let element = Self.elements[type] {
            self = .array(element)
        } else if Self.vectors.contains(type) {
            self = .unknown
        } else {
            self = Self.kind(of: column.plainType, isBuiltIn: type < Self.firstUserType)
        }
    }

    /// Of a type that is not listed, by its category.
    private static func kind(of type: PlainType, isBuiltIn: Bool) -> ColumnKind {
        if type.isArray { return .array(isBuiltIn ? .other : .unknown) }
        if type.isEnum { return .text }
        switch type.category {
        case UInt8(ascii: "C"): return .composite
        case UInt8(ascii: "R"): return .other
        case UInt8(ascii: "S"): return .text
        default: break
        }
        if type.isHstore { return .hstore }
        return isBuiltIn ? .other : .unknown
    }

    /// As `/sync/capabilities` names it. Devices pass over names that they do not know.
    package var wireName: String {
        switch self {
        case .boolean: "boolean"
        case .integer: "integer"
        case .float: "float"
        case .decimal: "decimal"
        case .uuid: "uuid"
        case .bytes: "bytes"
        case .instant, .date, .clock: "time"
        case .text, .digits, .other, .unknown, .hexadecimal: "text"
        case .json, .array, .composite, .hstore: "json"
        }
    }

    /// The smallest object identifier of a type that is not PostgreSQL's own.
    private static let firstUserType: UInt32 = 16_384
    /// `int2vector` and `oidvector`: arrays that are read as text, too.
    private static let vectors: Set<UInt32> = [22, 30]

    /// By object identifier.
    private static let kinds: [UInt32: ColumnKind] = [
        16: .boolean, 20: .integer, 21: .integer, 23: .integer, 700: .float, 701: .float,
        1700: .decimal, 2950: .uuid, 17: .bytes, 1184: .instant, 1082: .date, 1114: .date,
        1083: .clock, 1266: .clock, 1186: .clock, 18: .text, 19: .text, 25: .text, 1042: .text,
        1043: .text, 26: .digits, 790: .digits, 1560: .digits, 1562: .digits, 114: .json,
        3802: .json,
    ]

    /// Of arrays, by their object identifier.
    private static let elements: [UInt32: ColumnKind] = [
        1000: .boolean, 1005: .integer, 1007: .integer, 1016: .integer, 1021: .float,
        1022: .float, 1231: .decimal, 2951: .uuid, 1001: .hexadecimal, 1185: .instant,
        1115: .date, 1182: .date, 1183: .clock, 1270: .clock, 1187: .clock, 1002: .text,
        1003: .text, 1009: .text, 1014: .text, 1015: .text, 1028: .digits, 791: .digits,
        1561: .digits, 1563: .digits, 199: .json, 3807: .json,
    ]
}

extension PlainType {
    /// The type of the extension `hstore`, in whatever schema it is.
    package var isHstore: Bool { name == "hstore" || name.hasSuffix(".hstore") }
}

extension Column {
    /// The type as capabilities name it: with its modifier, and a domain as what it is made of.
    package var shownType: String { type == baseType ? typeName : plainType.name }
}

extension RegisteredTable {
    /// The columns that devices see, in the table's order.
    package var shownColumns: [Column] {
        columns.isEmpty ? [] : WireRendering.shown(of: self)
    }
}
