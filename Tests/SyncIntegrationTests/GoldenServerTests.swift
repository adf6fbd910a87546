import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport
@testable import UploadService

/// Byte for byte, so that a change of generated SQL is seen and reviewed.
@Suite("Generated SQL of the server is as recorded in Golden/")
struct GoldenServerTests {
    /// The smallest object identifier that PostgreSQL gives to a type made by a user.
    private static let firstUserType: UInt32 = 16_384

    @Test(arguments: GoldenSchema.captured)
    func capture(schema: GoldenSchema) async throws {
        let text = try await Self.tables(of: schema).compactMap { table in
            CaptureFunction(table).map {
                "-- \(table.name)\n" + CaptureInstallation.install($0, hasTriggers: false)
            }
        }.joined(separator: "\n\n")
        let problem = try GoldenFile("\(schema.name).capture").problem(with: text + "\n")
        #expect(problem == nil)
    }

    @Test(arguments: GoldenSchema.all)
    func upload(schema: GoldenSchema) async throws {
        let catalog = Catalog(tables: try await Self.tables(of: schema))
        let upload = BusinessStatements(UploadSchema(catalog: catalog))
        var parts: [String] = []
        for (index, table) in catalog.tables.enumerated() {
            parts += Self.writes(to: table, index, upload)
        }
        for (index, key) in upload.schema.foreignKeys.enumerated() {
            let child = catalog.tables[key.child].name
            let sql = upload.parents(index).sql
            parts.append("-- \(child): parents of the key \(key.key.name)\n\(sql);")
        }
        let text = parts.joined(separator: "\n\n") + "\n"
        let problem = try GoldenFile("\(schema.name).upload").problem(with: text)
        #expect(problem == nil)
    }

    /// The statements that write changes of all columns.
    private static func writes(
        to table: RegisteredTable, _ index: Int, _ upload: BusinessStatements
    ) -> [String] {
        var all = ColumnSet()
        for column in table.columns.indices { all.insert(column) }
        let kinds: [(String, MaterializeStatement.Kind, MaterializeStatement.Expectation)] = [
            ("create", .create, .asRecorded), ("create, whatever is there", .create, .anything),
            ("update", .update, .asRecorded), ("update, whatever is there", .update, .anything),
            ("delete", .delete, .asRecorded),
        ]
        var parts = kinds.map { title, kind, expectation in
            let form = MaterializeStatement.Form(
                BusinessWrites.Shape(table: index, kind, all), of: upload.schema.tables[index])
            let statement = upload.rows(index, kind, all, as: form, expecting: expectation)
            return "-- \(table.name): \(title)\n\(statement.sql);"
        }
        for (title, kind) in [("creation", MaterializeStatement.Kind.create), ("update", .update)] {
            guard
                let stored = upload.stored(
                    BusinessWrites.Shape(table: index, kind, all, hasMore: true),
                    expecting: .asRecorded)
            else { continue }
            parts.append("-- \(table.name): what a \(title) stored\n\(stored.statement.sql);")
        }
        if let present = upload.present(index) {
            parts.append("-- \(table.name): whether inserted rows are there\n\(present.sql);")
        }
        if let keyUse = upload.keyUse(index) {
            parts.append("-- \(table.name): whether a key is another user's\n\(keyUse.sql);")
        }
        return parts
    }

    /// The tables as a service reads them.
    private static func tables(of schema: GoldenSchema) async throws -> [RegisteredTable] {
        try await TestDatabase.withDatabase { url in
            let connection = try await SyncedDatabase.connect(url)
            defer { connection.close() }
            try await connection.execute(script: schema.tables)
            _ = try await Migrator(connection: connection).migrate()
            try await Registration.apply(schema.registrations, on: connection)
            return try await Catalog.readTables(on: connection).map(withFixedTypes)
        }
    }

    /// Types that the schema makes have other object identifiers in each database.
    private static func withFixedTypes(_ table: RegisteredTable) -> RegisteredTable {
        let columns = table.columns.map { column in
            guard column.type >= firstUserType else { return column }
            return Column(
                name: column.name, typeName: column.typeName, type: firstUserType,
                baseType: min(column.baseType, firstUserType), plainType: column.plainType,
                hasModifier: column.hasModifier, isReadOnly: column.isReadOnly,
                isRequired: column.isRequired, hasDefault: column.hasDefault,
                isNotNull: column.isNotNull)
        }
        return RegisteredTable(
            id: table.id, name: table.name, keyKind: table.keyKind, keyColumn: table.keyColumn,
            mode: table.mode, ownerColumn: table.ownerColumn, columns: columns,
            foreignKeys: table.foreignKeys, columnNeeds: table.columnNeeds,
            keyIndexColumns: table.keyIndexColumns, hasRowTriggers: table.hasRowTriggers,
            reach: table.reach, isRemoved: table.isRemoved, access: table.access,
            policies: table.policies)
    }
}

/// Business tables that stand for many.
struct GoldenSchema: Sendable, CustomTestStringConvertible {
    let name: String
    let tables: String
    let registrations: [TableRegistration]

    var testDescription: String { name }

    static let all = captured + [policed]
    /// Policies change nothing in capture.
    static let captured = [small, wide, awkward, numbered]

    /// One table with an owner column, and one whose keys the sidecar knows the owners of.
    static let small = GoldenSchema(
        name: "small",
        tables: """
            CREATE SCHEMA business;
            CREATE TABLE business.notes (
                id uuid PRIMARY KEY, owner text, title text NOT NULL, stars int);
            CREATE TABLE business.tags (code text PRIMARY KEY, label text);
            """,
        registrations: [
            TableRegistration(name: .init(schema: "business", table: "notes"), owner: "owner"),
            TableRegistration(name: .init(schema: "business", table: "tags")),
        ])

    /// Keys that are numbers: one that PostgreSQL makes unless a statement insists, and one that
    /// the sidecar knows the owners of.
    static let numbered = GoldenSchema(
        name: "numbered",
        tables: """
            CREATE SCHEMA business;
            CREATE TABLE business.orders (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text, title text);
            CREATE TABLE business.sizes (id smallint PRIMARY KEY, label text);
            """,
        registrations: [
            TableRegistration(name: .init(schema: "business", table: "orders"), owner: "owner"),
            TableRegistration(name: .init(schema: "business", table: "sizes")),
        ])

    /// Each kind of type that is converted, and some that are not; columns that nobody writes.
    static let wide = GoldenSchema(
        name: "wide",
        tables: """
            CREATE SCHEMA business;
            CREATE DOMAIN business.title AS text;
            CREATE TYPE business.mood AS ENUM ('good', 'bad');
            CREATE TABLE business.everything (
                id uuid PRIMARY KEY, owner_id uuid NOT NULL, other_id uuid, title business.title,
                mood business.mood, code char(3), short_name varchar(40), small smallint,
                number int, large bigint, price numeric(10,2), ratio real, exact double precision,
                done boolean DEFAULT false, photo bytea, day date, at timestamptz DEFAULT now(),
                local_at timestamp, clock time, duration interval, doc json, docb jsonb,
                words text[], address inet, serial_number bigint GENERATED ALWAYS AS IDENTITY,
                doubled int GENERATED ALWAYS AS (number * 2) STORED);
            """,
        registrations: [
            TableRegistration(
                name: .init(schema: "business", table: "everything"), owner: "owner_id")
        ])

    /// Policies decide, of keys of each kind, next to a table that points to one.
    static let policed = GoldenSchema(
        name: "policed",
        tables: """
            CREATE SCHEMA business;
            CREATE TABLE business.notes (
                id uuid PRIMARY KEY, owner text, title text NOT NULL, at timestamptz DEFAULT now());
            CREATE TABLE business.tags (code text PRIMARY KEY, label text);
            CREATE TABLE business.prefs (
                owner text, code text, value text, PRIMARY KEY (owner, code));
            CREATE TABLE business.items (
                id uuid PRIMARY KEY, owner text, note uuid REFERENCES business.notes);
            ALTER TABLE business.notes ENABLE ROW LEVEL SECURITY;
            ALTER TABLE business.tags ENABLE ROW LEVEL SECURITY;
            ALTER TABLE business.prefs ENABLE ROW LEVEL SECURITY;
            """,
        registrations: [
            TableRegistration(
                name: .init(schema: "business", table: "notes"), owner: "owner", rowSecurity: true),
            TableRegistration(name: .init(schema: "business", table: "tags"), rowSecurity: true),
            TableRegistration(
                name: .init(schema: "business", table: "prefs"), key: "code", owner: "owner",
                rowSecurity: true),
            TableRegistration(name: .init(schema: "business", table: "items"), owner: "owner"),
        ])

    /// Keys with the owner, keys of several columns, keys to the table itself, and names that need
    /// quotes.
    static let awkward = GoldenSchema(
        name: "awkward",
        tables: """
            CREATE SCHEMA "order";
            CREATE TABLE "order".countries (code text PRIMARY KEY);
            CREATE TABLE "order"."select" (
                "user" varchar(36), "group" text, "it's ""quoted"" here" text, "Größe" int,
                "a%b" text, ":name" text, PRIMARY KEY ("user", "group"));
            CREATE TABLE "order".a_table_whose_name_is_longer_than_most_names_are (
                id uuid PRIMARY KEY, "user" varchar(36), parent_of_this_row_in_the_same_table uuid
                    REFERENCES "order".a_table_whose_name_is_longer_than_most_names_are
                    DEFERRABLE INITIALLY DEFERRED,
                "group" text, country text REFERENCES "order".countries,
                FOREIGN KEY ("user", "group") REFERENCES "order"."select" ("user", "group")
                    ON DELETE CASCADE);
            """,
        registrations: [
            TableRegistration(
                name: .init(schema: "order", table: "select"), key: "group", owner: "user"),
            TableRegistration(
                name: .init(
                    schema: "order", table: "a_table_whose_name_is_longer_than_most_names_are"),
                owner: "user"),
        ])
}
