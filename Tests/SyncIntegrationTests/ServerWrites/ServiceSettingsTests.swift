import DatabaseKit
import LocalPostgres
import Postgres
import Sidecar
import SigningKeys
import Testing
import TestSupport

/// What services read and write does not depend on settings of the database, also behind a pooler,
/// which keeps no settings of sessions.
@Suite("Services read and write values alike, whatever the database is set to")
struct ServiceSettingsTests {
    enum Way: CaseIterable {
        case direct, session, transaction
    }

    private static let tables = """
        CREATE TABLE s.shifts (id uuid PRIMARY KEY, owner text, day date, days daterange,
            length interval, began timestamptz, ratio real, exact float8, photo bytea,
            photos bytea[], price money, names text[], feed xml, word text)
        """
    private static let yaml = "  - {table: s.shifts, owner: owner}"

    /// Each with a value that changes how texts are read, or what is written.
    private static let settings = [
        "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape",
        "extra_float_digits": "-10", "TimeZone": "America/New_York", "search_path": "s, public",
        "standard_conforming_strings": "off", "array_nulls": "off", "xmloption": "document",
        "xmlbinary": "hex", "quote_all_identifiers": "on", "transform_null_equals": "on",
    ]

    /// Texts that mean something else under other settings.
    private static let payload = #"""
        {"day":"01/02/2026","days":"[01/02/2026,03/04/2026)","length":"-1 2:03:04",\#
        "began":"2026-02-01T10:00:00","ratio":0.1,"exact":0.30000000000000004,"photo":"AQL/",\#
        "photos":["\\x0a5c"],"price":"12.50","names":"{NULL,b}","feed":"no document",\#
        "word":"a\\b'c"}
        """#

    /// What the table then holds, and what devices get of it.
    private static let expected = [
        "day": "2026-01-02", "days": "[2026-01-02,2026-03-04)", "length": "-1 days +02:03:04",
        "began": "2026-02-01 10:00:00+00", "ratio": "0.1", "exact": "0.30000000000000004",
        "photo": #"\x0102ff"#, "photos": #"{"\\x0a5c"}"#, "price": "$12.50", "names": "{NULL,b}",
        "feed": "no document", "word": #"a\b'c"#,
    ]

    @Test("Upload, Download and Auth", arguments: Way.allCases)
    func services(way: Way) async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let name = try #require(try await database.value("SELECT current_database()::text"))
            for (setting, value) in Self.settings {
                let literal = setting == "search_path" ? value : "'\(value)'"
                try await database.execute(
                    "ALTER DATABASE \"\(name)\" SET \(setting) = \(literal)")
            }
            switch way {
            case .direct:
                let services = try SyncedDatabase(
                    database.url, database.sql, reaching: PostgresConfiguration(url: database.url))
                try await Self.exchange(services, PostgresConfiguration(url: database.url), way)
            case .session, .transaction:
                let mode: LocalPgBouncer.PoolMode = way == .session ? .session : .transaction
                try await database.throughPgBouncer(mode) { configuration, services in
                    try await Self.exchange(services, configuration, way)
                }
            }
        }
    }

    private static func exchange(
        _ database: SyncedDatabase, _ configuration: PostgresConfiguration, _ way: Way
    ) async throws {
        // The second differs from what is stored, and is rendered.
        let other = #"{"day":"01/02/2026","ratio":0.123456789}"#
        #expect(
            try await database.outcomes(
                "ann", change(1, "INSERT", "shifts", id("a1"), payload),
                change(2, "INSERT", "shifts", id("a2"), other)) == ["applied 1", "applied 1"])
        // This session had no such settings when it began.
        for (column, value) in expected {
            #expect(
                try await database.value(
                    "SELECT \(column)::text FROM s.shifts WHERE id = '\(id("a1"))'") == value,
                "\(column)")
        }
        let served = try await database.download("ann")
        #expect(served.map(\.sequence) == [1, 2])
        #expect(served.last?.payload?["day"] == "2026-01-02")
        #expect(served.last?.payload?["ratio"] == "0.12345679")
        #expect(try await database.own("ann", device: "laptop").count == 2)
        let differences = try await database.verify().0
        #expect(differences == [])
        try await keys(database, configuration, isPooled: way == .transaction)
    }

    /// Auth reads the time from which a key is used, and its bytes, as they were written.
    private static func keys(
        _ database: SyncedDatabase, _ configuration: PostgresConfiguration, isPooled: Bool
    ) async throws {
        var configuration = configuration
        configuration.keywords["user"] = ServiceRole.auth.defaultName
        configuration.serve(isPooled: isPooled)
        let pool = PostgresPool(
            configuration, pool: try PoolConfiguration(), logger: SyncedDatabase.logger)
        let (publicKey, sealed): ([UInt8], [UInt8]) = ([4, 0, 92, 255], [0, 92, 39, 128, 255])
        let kid = "settings"
        let rows = try await pool.withConnection { connection in
            try await connection.run(
                KeyStatements.InsertKey(
                    kid: kid, publicKey: publicKey, sealedKey: sealed))
            return try await connection.run(KeyStatements.ReadKeys()).all()
        }
        let key = try #require(rows.first { $0.kid == kid })
        #expect(key.sealedKey == sealed)
        let active = try await database.value(
            """
            SELECT to_char(active_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            FROM oversync_auth.signing_key
            """)
        #expect(key.activeFrom == active && (0..<600).contains(key.age))
    }
}
