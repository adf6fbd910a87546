import Model
@testable import Sidecar
import Testing

@Suite("Which tables can store another row than they are given")
struct StoredRowTests {
    private static func table(_ columns: [Column], hasRowTriggers: Bool = false) -> RegisteredTable
    {
        let key = Column(name: "id", typeName: "uuid", baseType: 2950)
        let owner = Column(name: "owner", typeName: "character varying(40)", baseType: 1043)
        return RegisteredTable(
            id: 1, name: TableName(schema: "s", table: "t"), keyKind: .uuid, keyColumn: "id",
            mode: .table, ownerColumn: "owner", columns: [key, owner] + columns,
            hasRowTriggers: hasRowTriggers)
    }

    private static func mayDiffer(
        _ table: RegisteredTable, isCreation: Bool, names: Set<String>
    ) -> Bool {
        StoredRow.mayDiffer(table, isCreation: isCreation) {
            names.contains(table.columns[$0].name)
        }
    }

    @Test(
        "Columns of exact types store what they are given",
        arguments: [
            ("text", 25), ("character varying", 1043), ("boolean", 16), ("smallint", 21),
            ("integer", 23), ("bigint", 20), ("bytea", 17), ("uuid", 2950), ("json", 114),
            ("jsonb", 3802), ("numeric", 1700),
        ] as [(String, UInt32)])
    func exact(name: String, type: UInt32) {
        let column = Column(name: "c", typeName: name, baseType: type)
        #expect(!StoredRow.mayDiffer(Self.table([column])))
        // A modifier, a domain, a default, a generated column or a trigger may change that.
        let cut = Column(name: "c", typeName: "\(name)(3)", baseType: type, hasModifier: true)
        #expect(StoredRow.mayDiffer(Self.table([cut])))
        let domain = Column(name: "c", typeName: "s.d", type: 20_000, baseType: type)
        #expect(StoredRow.mayDiffer(Self.table([domain])))
        #expect(StoredRow.mayDiffer(Self.table([column], hasRowTriggers: true)))
        let made = Column(name: "c", typeName: name, baseType: type, isReadOnly: true)
        #expect(StoredRow.mayDiffer(Self.table([made])))
    }

    @Test(
        "Columns of other types may not, where they are named",
        arguments: [
            ("real", 700), ("double precision", 701), ("money", 790), ("bpchar", 1042),
            ("name", 19), ("timestamp with time zone", 1184), ("timestamp", 1114), ("date", 1082),
            ("time", 1083), ("interval", 1186), ("real[]", 1021), ("s.own", 20_000),
        ] as [(String, UInt32)])
    func others(name: String, type: UInt32) {
        let table = Self.table([Column(name: "c", typeName: name, baseType: type)])
        #expect(Self.mayDiffer(table, isCreation: true, names: ["c"]))
        #expect(Self.mayDiffer(table, isCreation: false, names: ["c"]))
        #expect(!Self.mayDiffer(table, isCreation: true, names: []))
    }

    @Test("A default matters to new rows that lack the column, and to no others")
    func defaults() {
        let table = Self.table([
            Column(name: "c", typeName: "text", baseType: 25, hasDefault: true)
        ])
        #expect(Self.mayDiffer(table, isCreation: true, names: []))
        #expect(!Self.mayDiffer(table, isCreation: true, names: ["c"]))
        #expect(!Self.mayDiffer(table, isCreation: false, names: []))
    }

    @Test("The key and the owner's column are no part of it")
    func keyAndOwner() {
        #expect(!StoredRow.mayDiffer(Self.table([])))
    }

    @Test("An enum stores what it is given")
    func enums() {
        let mood = Column(
            name: "c", typeName: "s.mood", baseType: 20_000,
            plainType: PlainType(name: "s.mood", category: UInt8(ascii: "E")))
        #expect(!StoredRow.mayDiffer(Self.table([mood])))
    }

    @Test("Null means the default only where it could not be stored")
    func nulls() {
        func column(hasDefault: Bool, isNotNull: Bool, isReadOnly: Bool = false) -> Column {
            Column(
                name: "c", typeName: "text", baseType: 25, isReadOnly: isReadOnly,
                hasDefault: hasDefault, isNotNull: isNotNull)
        }
        #expect(column(hasDefault: true, isNotNull: true).takesDefaultForNull)
        #expect(!column(hasDefault: true, isNotNull: false).takesDefaultForNull)
        #expect(!column(hasDefault: false, isNotNull: true).takesDefaultForNull)
        #expect(!column(hasDefault: true, isNotNull: true, isReadOnly: true).takesDefaultForNull)
    }

    /// The type, what JSON has between quotes or as it is, and whether the type takes it as it is.
    static let values: [(type: UInt32, text: String, isString: Bool, isOrdinary: Bool)] = [
        (701, "1.5", false, true), (701, "-12345678901.23", false, true),
        (701, "0.30000000000000004", false, false), (701, "1e5", false, false),
        (701, "1.5", true, false),
        (1184, "2026-03-01T10:00:00Z", true, true),
        (1184, "2026-03-01T10:00:00.123456+05:30", true, true),
        (1184, "2026-03-01 10:00:00.5-08", true, true),
        (1184, "2026-03-01T10:00:00.1234567Z", true, false),
        (1184, "2026-03-01T10:00:00", true, false), (1184, "now", true, false),
        (1184, "01-03-2026 10:00:00Z", true, false), (1184, "1767225600", false, false),
        (1114, "2026-03-01T10:00:00", true, true), (1114, "2026-03-01T10:00:00Z", true, false),
        (1114, "2026-03-01T10:00:00+02", true, false),
        (1114, "2026-03-01T10:00:00.0000001", true, false),
        (1082, "2026-03-01", true, true), (1082, "03-01-2026", true, false),
        (1082, "2026-03-01T10:00:00Z", true, false), (1082, "", true, false),
    ]

    @Test("Ordinary values of times and numbers are told from others", arguments: values.indices)
    func ordinary(index: Int) throws {
        let value = Self.values[index]
        let column = Column(name: "c", typeName: "t", baseType: value.type)
        let ordinary = try #require(column.ordinary)
        #expect(
            ordinary.covers(Array(value.text.utf8), isString: value.isString) == value.isOrdinary,
            "\(value)")
        let table = Self.table([column])
        #expect(StoredRow.mayDiffer(table))
        #expect(
            !StoredRow.mayDiffer(table, isCreation: true, isOrdinary: true, names: { _ in true }))
    }

    @Test("A type with a precision, and one that rounds its usual values, has no ordinary ones")
    func noOrdinary() {
        let cut = Column(
            name: "c", typeName: "timestamp(0) with time zone", baseType: 1184, hasModifier: true)
        #expect(cut.ordinary == nil)
        #expect(Column(name: "c", typeName: "real", baseType: 700).ordinary == nil)
    }
}
