import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("A table is registered with row_security: true only where its policies can decide")
struct PolicyRegistrationTests {
    private static let items = TableRegistration(
        name: .init(schema: "app", table: "items"), owner: "owner", rowSecurity: true)
    private static let secured = """
        ALTER TABLE app.items ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON app.items USING (true);
        """

    /// What is wrong, and what `migrate` must say. In both, `ROLE` is the role of Upload.
    static let problems: [(sql: String, says: [String])] = [
        ("SELECT", ["row-level security is off", "ENABLE ROW LEVEL SECURITY"]),
        (
            "\(secured) ALTER ROLE \"ROLE\" BYPASSRLS",
            ["do not apply to ROLE", "has BYPASSRLS", "NOBYPASSRLS"]
        ),
        (
            "\(secured) ALTER ROLE \"ROLE\" SUPERUSER BYPASSRLS",
            ["do not apply to ROLE", "is a superuser", "NOSUPERUSER"]
        ),
        (
            "\(secured) ALTER TABLE app.items OWNER TO \"ROLE\"",
            ["do not apply to ROLE", "owns it", "OVERSYNC_UPLOAD_ROLE"]
        ),
    ]

    @Test("What keeps them from it is refused by name, with advice", arguments: problems.indices)
    func refused(_ index: Int) async throws {
        let problem = Self.problems[index]
        try await RoleFixture.with { database in
            try await database.install()
            let role = database.name(.upload)
            try await database.execute(problem.sql.replacing("ROLE\"", with: "\(role)\""))
            let error = await #expect(throws: RegistrationError.self) {
                try await database.install(Self.items)
            }
            let text = error?.description ?? ""
            #expect(text.hasPrefix("app.items.row_security: "))
            for words in problem.says {
                #expect(text.contains(words.replacing("to ROLE", with: "to \(role)")), "\(text)")
            }
            #expect(try await database.rows("SELECT count(*) FROM sync.catalog") == ["0"])
            try await database.execute(
                """
                ALTER TABLE app.items OWNER TO CURRENT_USER;
                ALTER ROLE "\(role)" NOSUPERUSER NOBYPASSRLS; \(index == 0 ? Self.secured : "")
                """)
            #expect(try await database.install(Self.items) == [])
            #expect(
                try await database.rows("SELECT row_security FROM sync.catalog") == ["t"])
            // It is a part of the registration, and can be taken back.
            _ = try await database.install(RoleFixture.items)
            #expect(
                try await database.rows("SELECT row_security FROM sync.catalog") == ["f"])
        }
    }

    @Test(
        "A table without a policy for Upload is registered, with a remark; memberships count"
    )
    func noPolicy() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let role = database.name(.upload)
            try await database.execute(
                """
                CREATE ROLE "\(role)_group"; ALTER TABLE app.items ENABLE ROW LEVEL SECURITY;
                CREATE POLICY own ON app.items TO "\(role)_group" USING (true);
                CREATE POLICY rest ON app.items AS RESTRICTIVE USING (true)
                """)
            let remarks = try await database.install(Self.items)
            #expect(remarks.count == 1)
            #expect(remarks.first?.contains("no policy of the table applies to \(role)") == true)
            try await database.execute("GRANT \"\(role)_group\" TO \"\(role)\"")
            #expect(try await database.install(Self.items) == [])
            try await database.execute(
                "DROP OWNED BY \"\(role)_group\"; DROP ROLE \"\(role)_group\"")
        }
    }

    @Test(
        "Under FORCE ROW LEVEL SECURITY an owner that sees no rows is refused, a superuser is not"
    )
    func forced() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let owner = "\(database.prefix)_owner"
            try await database.execute(
                """
                \(Self.secured) ALTER TABLE app.items FORCE ROW LEVEL SECURITY;
                CREATE ROLE "\(owner)" LOGIN CREATEROLE;
                GRANT USAGE, CREATE ON SCHEMA app TO "\(owner)";
                GRANT USAGE ON SCHEMA sync TO "\(owner)";
                GRANT ALL ON ALL TABLES IN SCHEMA sync TO "\(owner)";
                ALTER TABLE app.items OWNER TO "\(owner)"
                """)
            let error = await #expect(throws: RegistrationError.self) {
                try await database.sql(owner) {
                    _ = try await Registration.apply([Self.items], on: $0)
                }
            }
            let text = error?.description ?? ""
            #expect(text.hasPrefix("app.items.row_security: FORCE ROW LEVEL SECURITY"))
            #expect(text.contains("hides its rows from \(owner)"))
            #expect(text.contains("NO FORCE ROW LEVEL SECURITY"))
            #expect(try await database.install(Self.items) == [])
            try await database.execute(
                """
                ALTER TABLE app.items OWNER TO CURRENT_USER;
                DROP OWNED BY "\(owner)"; DROP ROLE "\(owner)"
                """)
        }
    }

    @Test("adopt refuses a table of which it would see a part")
    func adopt() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes, RoleFixture.items)
            let owner = "\(database.prefix)_blind"
            try await database.execute(
                """
                CREATE ROLE "\(owner)" LOGIN; GRANT USAGE ON SCHEMA app, sync TO "\(owner)";
                GRANT SELECT ON ALL TABLES IN SCHEMA app, sync TO "\(owner)";
                \(Self.secured)
                INSERT INTO app.items VALUES (gen_random_uuid(), 'ann')
                """)
            let error = await #expect(throws: RegistrationError.self) {
                try await database.sql(owner) { reading in
                    _ = try await database.sql { writing in
                        try await Adoption(reading: reading, writing: writing).adopt(
                            Self.items.name, owner: nil
                        ) { _ in }
                    }
                }
            }
            #expect(
                error?.description.hasPrefix(
                    "app.items: row-level security hides its rows from \(owner)") == true)
            try await database.execute("DROP OWNED BY \"\(owner)\"; DROP ROLE \"\(owner)\"")
        }
    }
}
