import Model
import Postgres
import Sidecar

/// One way to take rows out of each other's way: values that columns are given until the row gets
/// its own.
struct ParkingOption: Sendable {
    struct Assignment: Sendable {
        /// The column's place in its table.
        let column: Int
        /// SQL of the value for the row `t`, whose key is `k.key`.
        let value: String
    }

    /// At least one.
    let assignments: [Assignment]
    /// SQL that numbers free values `f.value` from 1 (`f.n`); nil where the value is made of the
    /// key.
    let free: String?

    private init(_ assignments: [Assignment]) {
        self.assignments = assignments
        free = nil
    }

    init(column: Int, value: String, free: String?) {
        assignments = [Assignment(column: column, value: value)]
        self.free = free
    }

    /// The numbers, from the user's least or greatest one on, that are searched for ones unused by
    /// the user's rows.
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
            column.isForeignKey
                ? parents(place, of: table)
                : self.made(column, place, of: table) + listed(column, place, of: table)
        }
        let present = { (column: UniqueIndex.Column, place: Int) in
            self.present(column, place, of: table)
        }
        let places = columns.filter { !$0.column.isForeignKey }.map(\.place)
        return options(where: true, empty) + options(where: true, made)
            + moved(places, of: table)
            + options(where: false, made) + options(where: false, empty)
            + collapsed(places, of: table)
            + options(where: true, present) + options(where: false, present)
    }

    /// Each row keeps its extent and goes elsewhere, as far as all others: an expression may make a
    /// range of several columns. One of them alone would leave the range where others are to go.
    private static func moved(
        _ places: [Int], of table: RegisteredTable
    ) -> [ParkingOption] {
        let movable = places.compactMap { place in
            ParkingValues.farAway(table.columns[place]).map { (place, $0) }
        }
        guard movable.count > 1 else { return [] }
        let extent = extent(movable.map(\.0), of: table)
        return ["+", "-"].flatMap { sign in
            [nil, extent].map { extent in
                ParkingOption(
                    movable.map { place, distance in
                        let name = quoted(table.columns[place].name)
                        let value = "t.\(name) \(sign) \(extent ?? distance)"
                        return Assignment(column: place, value: value)
                    })
            }
        }
    }

    /// SQL of a distance that takes each of the user's rows just beyond all of them; nil for
    /// columns of several types.
    private static func extent(_ places: [Int], of table: RegisteredTable) -> String? {
        let columns = places.map { table.columns[$0] }
        guard let step = ParkingValues.step(columns[0]),
            columns.allSatisfy({ $0.baseType == columns[0].baseType })
        else { return nil }
        func ends(_ aggregate: String) -> String {
            columns.map { "\(aggregate)(o.\(quoted($0.name)))" }.joined(separator: ", ")
        }
        return """
            (SELECT greatest(\(ends("max"))) - least(\(ends("min"))) + \(step)
                FROM \(table.name.quotedName) AS o WHERE true\(ParkStatement.own(table, row: "o")))
            """
    }

    /// A column gets the value of another: a range between them is empty, then.
    private static func collapsed(
        _ places: [Int], of table: RegisteredTable
    ) -> [ParkingOption] {
        places.flatMap { place in
            places.compactMap { other in
                guard place != other,
                    table.columns[place].typeName == table.columns[other].typeName
                else { return nil }
                return ParkingOption(
                    column: place, value: "t.\(quoted(table.columns[other].name))", free: nil)
            }
        }
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
            [PostgresType.text, .varchar, .bpchar, .name].contains { $0.rawValue == type.baseType }
            || type.typeName == "citext" || type.typeName.hasSuffix(".citext")
        let values = isText ? texts(quoted(type.name)) : ParkingValues.of(type)
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

    private static let numbers: Set<UInt32> = [
        PostgresType.int2.rawValue, PostgresType.int4.rawValue, PostgresType.int8.rawValue,
        ParkingValues.float4, PostgresType.float8.rawValue, ParkingValues.numeric,
    ]

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

    /// The labels that no row of the user has.
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

    /// Values that are in the checks of the column, or of its domain, and in no row of the user: a
    /// check may list what it allows.
    private static func listed(
        _ column: UniqueIndex.Column, _ place: Int, of table: RegisteredTable
    ) -> [ParkingOption] {
        let type = table.columns[place]
        guard column.kind == .other else { return [] }
        // A text, or a number that stands in no text.
        let text = "'((?:[^']|'')*)'"
        let literals =
            numbers.contains(type.baseType) ? "\(text)|(-?[0-9]+(?:[.][0-9]+)?)" : text
        let (target, name) = (table.name.quotedName, quoted(type.name))
        let free = """
            SELECT l.value, row_number() OVER (ORDER BY l.value) AS n
            FROM (
                SELECT DISTINCT
                    replace(coalesce(m[1], m[2]), '''''', '''')::\(type.plainType.name) AS value
                FROM pg_attribute a
                JOIN pg_constraint c ON c.contype = 'c' AND (c.contypid = a.atttypid
                    OR c.conrelid = a.attrelid AND a.attnum = ANY (c.conkey))
                CROSS JOIN LATERAL
                    regexp_matches(pg_get_constraintdef(c.oid), \(literal(literals)), 'g') AS m
                WHERE a.attrelid = \(literal(target))::regclass
                    AND a.attname = \(literal(type.name))
            ) AS l
            WHERE NOT EXISTS (SELECT FROM \(target) AS o
                WHERE o.\(name) = l.value\(ParkStatement.own(table, row: "o")))
            """
        return [ParkingOption(column: place, value: "f.value", free: free)]
    }

    /// Parents of a foreign key of this column alone that no row of the user points to.
    private static func parents(_ place: Int, of table: RegisteredTable) -> [ParkingOption] {
        let (target, name) = (table.name.quotedName, table.columns[place].name)
        return table.foreignKeys.filter { $0.columns.map(\.child) == [name] }.map { key in
            let parent = "p.\(quoted(key.columns[0].parent))"
            let free = """
                SELECT v.value, row_number() OVER () AS n
                FROM (SELECT \(parent) AS value FROM \(key.parent.quotedName) AS p
                    WHERE \(parent) IS NOT NULL AND NOT EXISTS (SELECT FROM \(target) AS o
                        WHERE o.\(quoted(name)) = \(parent)\(ParkStatement.own(table, row: "o")))
                    LIMIT \(neighbours)) AS v
                """
            return ParkingOption(column: place, value: "f.value", free: free)
        }
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
