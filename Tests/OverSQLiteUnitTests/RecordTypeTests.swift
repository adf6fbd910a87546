import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What becomes of a record's UUIDs and dates, as the article "Designing tables" says.
@Suite struct RecordTypeTests {
    private static let schema = """
        CREATE TABLE visits (id TEXT PRIMARY KEY NOT NULL, place_id TEXT, at TEXT);
        CREATE INDEX visits_at ON visits (julianday(at));
        """

    private static func device(
        _ name: String = "one", _ gateway: InMemoryGateway = InMemoryGateway(),
        schema: String = schema
    ) throws -> Device {
        try Device(name, gateway, schema: schema, tables: [SyncTable("visits")])
    }

    /// As GRDB writes it unless told otherwise.
    private struct Plain: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "visits"
        var id: UUID
        var place_id: UUID?
        var at: Date?
    }

    /// As the article has it.
    private struct Visit: Codable, Equatable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "visits"
        var id: UUID
        var place_id: UUID?
        var at: Date?

        static func databaseUUIDEncodingStrategy(for column: String) -> DatabaseUUIDEncodingStrategy
        {
            .lowercaseString
        }

        static func databaseDateEncodingStrategy(for column: String) -> DatabaseDateEncodingStrategy
        {
            .iso8601
        }
    }

    private static func date(_ text: String) throws -> Date {
        try #require(try? Date(text, strategy: .iso8601))
    }

    // MARK: UUIDs

    @Test("A record's UUID is 16 bytes: a TEXT key column of it is rejected, a BLOB key goes")
    func plainKey() async throws {
        let id = UUID()
        let text = try Self.device()
        try await text.database.write { try Plain(id: id).insert($0) }
        #expect(try text.lines("SELECT typeof(id), length(id) FROM visits") == ["blob|16"])
        try await text.sync()
        #expect(try await text.engine.rejectedChanges.map(\.reason) == ["unsendable_key"])
        let blob = try Self.device(
            schema: Self.schema.replacing("id TEXT PRIMARY", with: "id BLOB PRIMARY"))
        try await blob.database.write { try Plain(id: id).insert($0) }
        try await blob.sync()
        #expect(try await blob.engine.rejectedChanges.isEmpty)
        #expect(blob.gateway.version("visits", id.uuidString) == 1)
    }

    @Test("A record's UUID in a TEXT column beside the key is rejected, too")
    func plainReference() async throws {
        let device = try Self.device()
        try await device.database.write { db in
            try Plain(id: UUID(), place_id: UUID()).insert(db)
            try db.execute(sql: "UPDATE visits SET id = ?", arguments: [key(1)])
        }
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["unsendable_value"])
    }

    @Test("With the strategy lowercaseString UUIDs go as text, and records are found by them")
    func textKey() async throws {
        let gateway = InMemoryGateway()
        let (one, two) = (try Self.device("one", gateway), try Self.device("two", gateway))
        let visit = Visit(id: UUID(), place_id: UUID())
        try await one.database.write { try visit.insert($0) }
        try await one.sync()
        try await two.sync()
        #expect(one.engine.status.rejectedCount == 0)
        #expect(try await two.database.read { try Visit.fetchOne($0, key: visit.id) } == visit)
        #expect(try await two.database.read { try Plain.fetchOne($0, key: visit.id) } == nil)
    }

    // MARK: Dates

    /// A visit of ten o'clock, written here, and one of nine o'clock as PostgreSQL writes it.
    private static func tenAndNine(
        _ ten: (Date) -> any PersistableRecord & Sendable
    ) async throws -> Device {
        let device = try Self.device()
        let record = ten(try Self.date("2026-01-01T10:00:00Z"))
        try await device.database.write { try record.insert($0) }
        device.gateway.write(
            "visits", key(9), #"{"id":"\#(key(9))","at":"2026-01-01T09:00:00.5+00:00"}"#)
        try await device.sync()
        return device
    }

    @Test("A record's Date and the server's are two texts, and ORDER BY puts ten before nine")
    func plainDates() async throws {
        let device = try await Self.tenAndNine { Plain(id: UUID(), at: $0) }
        #expect(
            try device.lines("SELECT at FROM visits ORDER BY at")
                == ["2026-01-01 10:00:00.000", "2026-01-01T09:00:00.5+00:00"])
        #expect(
            try device.lines("SELECT at FROM visits ORDER BY julianday(at)")
                == ["2026-01-01T09:00:00.5+00:00", "2026-01-01 10:00:00.000"])
        let ten = try Self.date("2026-01-01T10:00:00Z")
        #expect(
            try await device.database.read { try Date.fetchAll($0, sql: "SELECT at FROM visits") }
                .map { $0.timeIntervalSince(ten) }.sorted() == [-3599.5, 0])
    }

    @Test("With the strategy iso8601 texts have one form, to the second; julianday compares all")
    func isoDates() async throws {
        let device = try await Self.tenAndNine { Visit(id: UUID(), at: $0) }
        let byText = try device.lines("SELECT at FROM visits ORDER BY at")
        #expect(byText == ["2026-01-01T09:00:00.5+00:00", "2026-01-01T10:00:00Z"])
        let half = try Self.date("2026-01-01T09:00:00Z")
        try await device.database.write { try Visit(id: UUID(), at: half).insert($0) }
        #expect(
            try device.lines("SELECT at FROM visits ORDER BY at").prefix(2)
                == ["2026-01-01T09:00:00.5+00:00", "2026-01-01T09:00:00Z"])
        let found = try await device.database.read { db in
            try Visit.order(julianDay(Column("at"))).fetchAll(db).compactMap(\.at)
        }
        #expect(
            found.map(\.timeIntervalSince1970).map { $0 - half.timeIntervalSince1970 }
                == [0, 0.5, 3600])
    }

    @Test("An index on julianday serves the order by it")
    func indexed() throws {
        let plan = try Self.device().lines(
            "EXPLAIN QUERY PLAN SELECT * FROM visits ORDER BY julianday(at)")
        #expect(plan.count == 1 && plan[0].contains("USING INDEX visits_at"))
    }
}
