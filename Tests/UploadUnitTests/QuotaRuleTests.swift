import Model
import Sidecar
import Testing

@testable import UploadService

@Suite("Quotas of an upload")
struct QuotaRuleTests {
    private static let schema = UploadSchema(
        catalog: Catalog(tables: [
            RegisteredTable(
                id: 1, name: TableName(schema: "s", table: "rows"), keyKind: .uuid,
                keyColumn: "id", mode: .table, ownerColumn: nil,
                columns: [
                    Column(name: "id", typeName: "uuid", baseType: 2950),
                    Column(name: "text", typeName: "text", baseType: 25),
                ])
        ]))
    /// What names all that counts of a row.
    private static let allColumns: ColumnSet = {
        var columns = ColumnSet()
        columns.insert(1)
        return columns
    }()

    private static func row(_ number: UInt64) -> RowID {
        RowID(table: 1, key: .uuid(high: 0, low: number))
    }

    private static func change(
        _ index: Int, row number: UInt64, _ operation: Model.Operation = .insert,
        base: Int64 = 0, bytes: Int = 0, isWhole: Bool = true
    ) -> Change {
        Change(
            index: index, id: Int64(index + 1), row: row(number), table: 0, operation: operation,
            base: base, payload: operation == .delete ? nil : 0..<bytes,
            contentHash: Int64(index + 1), columns: isWhole ? allColumns : ColumnSet())
    }

    /// Rows 1 to `rows` are there with 10 bytes each, in version 1.
    ///
    /// - Parameter uncounted: further rows, which are not counted yet.
    private static func decide(
        _ changes: [Change], rows: UInt64, uncounted: [UInt64] = [], _ quotas: Quotas
    ) -> (words: [String], usage: Usage?) {
        var reading = UploadReading(
            usage: Usage(
                rows: Int64(rows), bytes: Int64(rows) * 10, isBehind: !uncounted.isEmpty))
        for number in uncounted {
            reading.rows[row(number)] = RowFact(
                version: 1, sequence: 900, isDeleted: false, writer: .stored(nil))
        }
        for number in 1...max(1, rows) where number <= rows {
            reading.rows[row(number)] = RowFact(
                version: 1, sequence: Int64(number), isDeleted: false, writer: .stored(nil),
                countedBytes: 10)
        }
        var plan = UploadPlan(
            schema: schema, request: UploadRequest { _ in nil }, reading: reading,
            quotas: quotas, count: changes.count)
        _ = plan.decide(changes[...])
        return (plan.outcomes.map { $0?.status ?? "undecided" }, plan.usage)
    }

    @Test("Without room for a row, new ones are rejected; edits and deletes are applied")
    func rows() {
        let (words, usage) = Self.decide(
            [
                Self.change(0, row: 1, .update, base: 1, bytes: 500), Self.change(1, row: 8),
                Self.change(2, row: 9),
            ], rows: 2, Quotas(rows: 3))
        #expect(words == ["applied", "applied", "materialize_error"])
        #expect(usage == Usage(rows: 3, bytes: 510))
        let over = Self.decide(
            [Self.change(0, row: 9), Self.change(1, row: 1, .delete, base: 1)], rows: 4,
            Quotas(rows: 2))
        #expect(over.words == ["applied", "applied"], "the use does not grow")
        #expect(over.usage?.rows == 4)
    }

    @Test("What shortens a row is applied beyond the quota of bytes, and what lengthens it is not")
    func bytes() {
        let quotas = Quotas(bytes: 25)
        let (words, usage) = Self.decide(
            [
                Self.change(0, row: 1, .update, base: 1, bytes: 9),
                Self.change(1, row: 2, .update, base: 1, bytes: 11),
                Self.change(2, row: 3, .delete, base: 1),
            ], rows: 4, quotas)
        #expect(words == ["applied", "applied", "applied"], "all together take less")
        #expect(usage?.bytes == 30)
        let longer = Self.decide(
            [
                Self.change(0, row: 1, .update, base: 1, bytes: 9),
                Self.change(1, row: 2, .update, base: 1, bytes: 12),
            ], rows: 4, quotas)
        #expect(longer.words == ["applied", "materialize_error"])
        #expect(longer.usage?.bytes == 39)
    }

    @Test("A deleted row that comes back takes room again, and a chain counts as it ends")
    func chain() {
        let (words, usage) = Self.decide(
            [
                Self.change(0, row: 8, bytes: 30),
                Self.change(1, row: 8, .update, base: 1, bytes: 5),
                Self.change(2, row: 1, .delete, base: 1),
            ], rows: 1, Quotas(rows: 1, bytes: 10))
        #expect(words == ["applied", "applied", "applied"])
        #expect(usage == Usage(rows: 1, bytes: 5))
    }

    @Test("A change that names some columns makes its row longer, never shorter")
    func partial() {
        let (words, usage) = Self.decide(
            [
                Self.change(0, row: 1, .update, base: 1, bytes: 2, isWhole: false),
                Self.change(1, row: 2, .insert, base: 1, bytes: 2, isWhole: false),
                Self.change(2, row: 3, .update, base: 1, bytes: 12, isWhole: false),
                Self.change(3, row: 3, .update, base: 2, bytes: 2, isWhole: false),
                Self.change(4, row: 8, bytes: 30), Self.change(5, row: 9, bytes: 1),
            ], rows: 3, Quotas(bytes: 40))
        #expect(
            words == [
                "applied", "applied", "applied", "applied", "materialize_error", "applied",
            ])
        #expect(usage == Usage(rows: 4, bytes: 33))
    }

    @Test("A row that is not counted yet may be edited; new rows need room")
    func uncounted() {
        let (words, usage) = Self.decide(
            [
                Self.change(0, row: 7, .update, base: 1, bytes: 5),
                Self.change(1, row: 7, .update, base: 2, bytes: 500),
                Self.change(2, row: 8, bytes: 1),
                Self.change(3, row: 1, .update, base: 1, bytes: 11),
            ], rows: 2, uncounted: [7], Quotas(bytes: 15))
        #expect(words == ["applied", "applied", "materialize_error", "materialize_error"])
        #expect(usage == Usage(rows: 2, bytes: 20, isBehind: true))
    }

    @Test("The rejection names the quota, and no row of its table")
    func message() {
        let verdict = Quotas.rejection(
            of: TableName(schema: "s", table: "rows"), version: 1,
            Quotas(rows: 1).excess(Usage(rows: 2), after: Usage(rows: 1)) ?? "")
        #expect(
            verdict
                == .materializeError(
                    version: 1,
                    message: "s.rows did not take the row: the quota of 1 rows is used up; "
                        + "delete rows or ask for a larger quota (SQLSTATE OV006)"))
    }
}
