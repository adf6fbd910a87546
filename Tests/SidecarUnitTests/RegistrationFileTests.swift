import Model
import Sidecar
import Testing

@Suite("oversync.yaml")
struct RegistrationFileTests {
    @Test("Each entry says its table, mode, key and owner; what is left out has a default")
    func reading() throws {
        let tables = try RegistrationFile.parse(
            """
            tables:
              - table: notes
              - {table: app.items, owner: user_id, key: code, key_kind: text}
              - {table: app.settings, mode: sidecar}
            """)
        #expect(
            tables == [
                TableRegistration(name: .init(schema: "public", table: "notes")),
                TableRegistration(
                    name: .init(schema: "app", table: "items"), key: "code", keyKind: .text,
                    owner: "user_id"),
                TableRegistration(name: .init(schema: "app", table: "settings"), mode: .sidecar),
            ])
    }

    @Test("Columns that stay on the server are named, and those that only some roles write")
    func columns() throws {
        let tables = try RegistrationFile.parse(
            """
            tables:
              - table: app.orders
                except: [Secret, margin]
                read_only: {state: [], price: [clerk, chief]}
            """)
        #expect(
            tables == [
                TableRegistration(
                    name: .init(schema: "app", table: "orders"),
                    withheld: WithheldColumns(
                        except: ["Secret", "margin"],
                        readOnly: ["state": [], "price": ["clerk", "chief"]]))
            ])
    }

    @Test("A table whose policies decide is named")
    func policies() throws {
        let tables = try RegistrationFile.parse(
            """
            tables:
              - {table: app.orders, owner: user_id, row_security: true}
              - {table: app.items, row_security: false}
            """)
        #expect(tables.map(\.rowSecurity) == [true, false])
    }

    /// What is wrong, and what the message must name.
    static let mistakes: [(yaml: String, names: [String])] = [
        ("", ["tables"]),
        ("tables: 5", ["tables"]),
        ("tables: [", ["oversync.yaml"]),
        ("table: []", ["table", "known", "tables"]),
        ("tables:\n  - {tabel: a.b}", ["tables[0]", "tabel", "known"]),
        ("tables:\n  - {mode: table}", ["[0]", "table", "missing"]),
        ("tables:\n  - {table: A.b}", ["tables[0].table", "A.b", "lower-case"]),
        ("tables:\n  - {table: a.b.c}", ["tables[0].table", "a.b.c"]),
        ("tables:\n  - {table: \"\"}", ["tables[0].table"]),
        (
            "tables:\n  - {table: a.b, mode: files}",
            ["tables[0].mode", "table or sidecar", "files"]
        ),
        (
            "tables:\n  - {table: a.b, key_kind: int}",
            ["tables[0].key_kind", "uuid or text", "int"]
        ),
        ("tables:\n  - {table: a.b}\n  - {table: a.b}", ["tables[1].table", "twice"]),
        (
            "tables:\n  - {table: a.b, mode: sidecar, except: [x]}",
            ["tables[0]", "except and read_only", "mode: sidecar"]
        ),
        ("tables:\n  - {table: a.b, except: x}", ["except", "wrong type"]),
        (
            "tables:\n  - {table: a.b, mode: sidecar, row_security: true}",
            ["tables[0].row_security", "mode: sidecar"]
        ),
        ("tables:\n  - {table: a.b, row_security: owner}", ["row_security", "wrong type"]),
        (
            "tables:\n  - {table: a.b, read_only: {state: [\"no role\"]}}",
            ["tables[0].read_only.state", "no role"]
        ),
    ]

    @Test(
        "A mistake is refused with its place and what may stand there", arguments: mistakes.indices)
    func mistake(_ index: Int) throws {
        let mistake = Self.mistakes[index]
        let error = #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.parse(mistake.yaml)
        }
        for name in mistake.names {
            #expect(
                error?.description.contains(name) == true,
                "\(name) not in: \(error?.description ?? "")")
        }
    }

    @Test("A file that is not there is named")
    func missing() throws {
        let error = #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.read(path: "/nowhere/oversync.yaml")
        }
        #expect(error?.description == "/nowhere/oversync.yaml cannot be read")
    }
}
