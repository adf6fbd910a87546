import Model
import Postgres
import Sidecar

/// One way to take rows out of each other's way: a value that a column is given until the row gets
/// its own.
struct ParkingOption: Sendable {
    /// The column's place in its table.
    let column: Int
    /// SQL of the value for the row `t`, whose key is `k.key`.
    let value: String
    /// SQL that numbers free values `f.value` from 1 (`f.n`); nil where the value is made of the
    /// key.
    let free: String?

    /// The numbers, from the user's least or greatest one on, among which those are looked for that
    /// none of the user's rows has.
    private static let neighbours = 10_000
    /// How many values that rows of the user's have are tried, and as many labels of an
    /// enumeration: a check may allow no others.
    private static let presentValues = 3

    /// All that may free values in an index, the likeliest first. PostgreSQL tells which do: some
    /// are against a check or too long.
    static func all(for index: UniqueIndex, of table: RegisteredTable) -> [ParkingOption] {
        let columns = index.columns.compactMap { column in
            table.columns.firstIndex { $0.name == column.name }.map { (column: column, place: $0) }
        }.filter {
            let (_, place) = $0
            let name = table.columns[place].name
            return name != table.keyColumn && name != table.ownerColumn
                && !table.columns[place].isReadOnly
        }
        func options(
            where isMember: Bool, _ values: (UniqueIndex.Column, Int) -> [ParkingOption]
        ) -> [ParkingOption] {
            columns.filter { $0.column.isMember == isMember }
                .flatMap { values($0.column, $0.place) }
        }
        let empty = { (column: UniqueIndex.Column, place: Int) in
            column.isNullable ? [ParkingOption(column: place, value: "NULL", free: nil)] : []
        }
        let made = { (column: UniqueIndex.Column, place: Int) in
            column.isForeignKey ? [] : self.made(column, place, of: table)
        }
        let present = { (column: UniqueIndex.Column, place: Int) in
            self.present(column, place, of: table)
        }
        return options(where: true, empty) + options(where: true, made)
            + options(where: false, made) + options(where: false, empty)
            + options(where: true, present) + options(where: false, present)
    }

    /// Values that are made of the row's key, so that no two rows get the same.
    private static func made(
        _ column: UniqueIndex.Column, _ place: Int, of table: RegisteredTable
    ) -> [ParkingOption] {
        let type = table.columns[place]
        if column.kind == .range {
            return [ParkingOption(column: place, value: "'empty'", free: nil)]
        }
        let isText =
            [PostgresType.text, .varchar, .bpchar].contains { $0.rawValue == type.baseType }
            || type.typeName == "citext" || type.typeName.hasSuffix(".citext")
        let values =
            isText
            ? texts(quoted(type.name)) : values(ofType: PostgresType(rawValue: type.baseType))
        var options = values.map { ParkingOption(column: place, value: $0, free: nil) }
        if column.kind == .enumeration {
            options += ["ASC", "DESC"].map {
                ParkingOption(column: place, value: "f.value", free: labels(type, $0, table))
            }
        }
        if numbers.contains(type.baseType) {
            options += [true, false].map { upwards in
                ParkingOption(
                    column: place, value: "f.value",
                    free: neighbours(quoted(type.name), upwards: upwards, table))
            }
        }
        return options
    }

    private static let (float4, float8, numeric) = (700 as UInt32, 701 as UInt32, 1700 as UInt32)
    private static let (date, timestamp) = (1082 as UInt32, 1114 as UInt32)
    private static let numbers: Set<UInt32> = [
        PostgresType.int2.rawValue, PostgresType.int4.rawValue, PostgresType.int8.rawValue, float4,
        float8, numeric,
    ]

    private static func values(ofType type: PostgresType) -> [String] {
        let hash = "hashtext(k.key::text)"
        let middle = "(\(hash) & 1073741823)"
        let large = "(hashtextextended(k.key::text, 0) & 4611686018427387903)"
        let seconds = "(\(middle) * interval '1 second')"
        return switch type {
        case .int2: ["-16384 - (\(hash) & 16383)", "16383 + (\(hash) & 16383)"]
        case .int4: ["-1073741824 - \(middle)", "1073741824 + \(middle)"]
        case .int8: ["-4611686018427387904 - \(large)", "4611686018427387904 + \(large)"]
        case .bool: ["false", "true"]
        case .uuid: ["md5('oversync ' || k.key::text)::uuid"]
        case .bytea: ["decode(md5('oversync ' || k.key::text), 'hex')"]
        case .jsonb: ["to_jsonb(md5('oversync ' || k.key::text))"]
        case .timestamptz, PostgresType(rawValue: timestamp):
            ["timestamp '9999-01-01' - \(seconds)", "timestamp '0001-01-01' + \(seconds)"]
        case PostgresType(rawValue: date):
            [
                "date '9999-01-01' - (\(hash) & 65535)", "date '0001-01-01' + (\(hash) & 65535)",
            ]
        case PostgresType(rawValue: float4), PostgresType(rawValue: float8),
            PostgresType(rawValue: numeric):
            ["-1073741824 - \(middle)", "1073741824 + \(middle)"]
        default: []
        }
    }

    /// Checks on texts are mostly of their form: a part that must be in them, the length, the
    /// letters.
    private static func texts(_ column: String) -> [String] {
        let digest = "md5('oversync ' || k.key::text)"
        let length = "greatest(length(t.\(column)), 1)"
        let letters = "translate(\(digest), '0123456789', 'ghijklmnop')"
        return [
            "\(digest) || coalesce(t.\(column)::text, '')", digest,
            "left(\(letters), \(length))", "left(upper(\(letters)), \(length))",
            "left(translate(\(digest), 'abcdef', '012345'), \(length))",
        ]
    }

    private static func neighbours(
        _ column: String, upwards: Bool, _ table: RegisteredTable
    ) -> String {
        let target = table.name.quotedName
        let own = ParkStatement.own(table, row: "o")
        let (end, sign, order) = upwards ? ("min", "+", "ASC") : ("max", "-", "DESC")
        return """
            SELECT g AS value, row_number() OVER (ORDER BY g \(order)) AS n
            FROM (SELECT \(end)(o.\(column))::bigint AS value FROM \(target) AS o
                WHERE true\(own)) AS e
            CROSS JOIN LATERAL generate_series(
                e.value, e.value \(sign) \(neighbours - 1), \(sign)1) AS g
            WHERE NOT EXISTS (SELECT FROM \(target) AS o WHERE o.\(column) = g\(own))
            """
    }

    /// The labels that none of the user's rows has.
    private static func labels(
        _ type: Column, _ order: String, _ table: RegisteredTable
    ) -> String {
        """
        SELECT l AS value, row_number() OVER (ORDER BY l \(order)) AS n
        FROM unnest(enum_range(NULL::\(type.typeName))) AS l
        WHERE NOT EXISTS (SELECT FROM \(table.name.quotedName) AS o
            WHERE o.\(quoted(type.name)) = l\(ParkStatement.own(table, row: "o")))
        """
    }

    /// Values that stand in the table now, and labels of an enumeration.
    private static func present(
        _ column: UniqueIndex.Column, _ place: Int, of table: RegisteredTable
    ) -> [ParkingOption] {
        let name = quoted(table.columns[place].name)
        let values = (0..<presentValues).map { number in
            column.kind == .enumeration
                ? "(enum_range(NULL::\(table.columns[place].typeName)))[\(number + 1)]"
                : """
                (SELECT o.\(name) FROM \(table.name.quotedName) AS o
                    WHERE o.\(name) IS NOT NULL\(ParkStatement.own(table, row: "o"))
                    GROUP BY 1 ORDER BY 1 LIMIT 1 OFFSET \(number))
                """
        }
        return values.map { ParkingOption(column: place, value: $0, free: nil) }
    }
}
