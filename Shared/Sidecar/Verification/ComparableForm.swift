import Postgres

/// The form in which two values of a column are compared: equal in it means that devices show the
/// same.
enum ComparableForm {
    case value
    /// Of types without equality, or with one that takes for equal what devices see as different:
    /// one month and thirty days, boxes of one size, `citext`. Types that are not PostgreSQL's own
    /// are among them.
    ///
    /// Texts, too, are compared by their bytes, whatever their column's collation takes for equal.
    case text
    /// `xml`: its text without the declaration, which its cast to text has and JSON has not.
    case printed
    case jsonb
    case jsonArray

    /// The smallest object identifier of a type that is not PostgreSQL's own.
    private static let firstUserType: UInt32 = 16_384

    /// The array of xml; the geometric types, interval, jsonpath, refcursor and the snapshots, each
    /// with its array.
    private static let asText: Set<UInt32> = [
        143, 600, 601, 602, 603, 604, 628, 718, 1017, 1018, 1019, 1020, 1027, 629, 719, 1186,
        1187, 4072, 4073, 1790, 2201, 2970, 2949, 5038, 5039,
    ]

    init(_ column: Column) {
        switch column.baseType {
        case 114, 3802: self = .jsonb
        case 199, 3807: self = .jsonArray
        case 142: self = .printed
        case PostgresType.text.rawValue, PostgresType.varchar.rawValue: self = .text
        case Self.firstUserType...: self = .text
        default: self = Self.asText.contains(column.baseType) ? .text : .value
        }
    }

    /// json, its array, and types that may have a json inside.
    static func canHoldUnreadable(_ column: Column) -> Bool {
        [114, 199].contains(column.baseType) || column.baseType >= firstUserType
    }

    func expression(_ value: String) -> String {
        switch self {
        case .value: value
        case .text: "(\(value))::text COLLATE \"C\""
        case .printed: "CASE WHEN (\(value)) IS NOT NULL THEN concat(\(value)) COLLATE \"C\" END"
        // A payload's null becomes SQL's, while plain SQL may store JSON's own: devices see the
        // same.
        case .jsonb: "nullif((\(value))::jsonb, 'null')"
        // In an array, too.
        case .jsonArray: "to_jsonb(\(value))"
        }
    }
}
