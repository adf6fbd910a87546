import Foundation
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

    @Test("Lists name roles, and users and devices by patterns")
    func grantees() throws {
        let tables = try RegistrationFile.parse(
            """
            tables:
              - table: app.tills
                read: [staff, {role: chief}, {role: temp, device: "till-*"}, {user: "*@hq"}]
                write: []
            """)
        #expect(
            tables.map(\.access) == [
                TableAccess(
                    readers: Grantees(
                        roles: ["staff", "chief"],
                        patterns: [
                            AccessPattern(role: "temp", device: NamePattern("till-*")),
                            AccessPattern(user: NamePattern("*@hq")),
                        ]),
                    writers: Grantees(roles: []))
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
            ["tables[0].key_kind", "uuid, text or integer", "int"]
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
        (
            "tables:\n  - {table: a.b}\n  - {table: a.c, read: [{user: \"\"}]}",
            ["tables[1].read.user of a.c", "no pattern"]
        ),
        (
            "tables:\n  - {table: a.b, write: [{device: \"*********\"}]}",
            ["tables[0].write.device of a.b", "at most 8 *"]
        ),
        ("tables:\n  - {table: a.b, read: [{usr: x}]}", ["tables[0].read", "usr", "known"]),
        ("tables:\n  - {table: a.b, read: [{}]}", ["tables[0].read of a.b", "names no role"]),
        (
            "tables:\n  - {table: a.b, read: [\(many)]}",
            ["tables[0].read of a.b", "65 patterns", "at most 64"]
        ),
        ("tables:\n  - {table: pg_catalog.pg_class}", ["tables[0].table", "PostgreSQL's"]),
        (
            "tables:\n  - {table: information_schema.tables, mode: sidecar}",
            ["tables[0].table", "cannot be registered"]
        ),
        ("tables:\n  - {table: sync.meta, mode: sidecar}", ["tables[0].table", "Oversync's"]),
        ("tables:\n  - {table: oversync_auth.signing_key}", ["tables[0].table", "Oversync's"]),
    ]

    private static let many = (0...64).map { "{user: u\($0)}" }.joined(separator: ", ")

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

    @Test("All that is wrong is said at once, a line each")
    func several() throws {
        let error = #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.parse(
                """
                tables:
                  - {table: A.b, mode: files}
                  - {table: a.c, exept: [x]}
                  - table: a.d
                    key_kind: int
                  - {table: a.e}
                  - {table: a.e}
                """)
        }
        let lines = error?.description.split(separator: "\n").map(String.init) ?? []
        #expect(lines.count == 4, "\(lines)")
        for part in ["exept\", in line 3", "[0].table", "[2].key_kind", "[4].table"] {
            #expect(lines.contains { $0.contains(part) }, "\(part) not in \(lines)")
        }
    }

    @Test(
        "What is not the YAML of tables is told with its line, in plain words",
        arguments: [
            ("tables:\n  - {table: a.b, except: x}", "line 2: tables[0].except ", "a list"),
            ("tables:\n  - table: [a]", "line 2: tables[0].table ", "a text"),
            ("tables:\n  - table: a.b\n    row_security: owner", "line 3: ", "true or false"),
            ("tables: 5", "line 1: tables ", "a list"), ("- a", "line 1: ", "keys with values"),
            ("tables:\n  - {table: a.b", "line 3, column", "did not find"),
            ("tables:\n\t- table: a.b", "line 2, column", "indent with spaces, not tabs"),
            (String(repeating: "[", count: 2000), "line 1, column", "nested too deep"),
            ("tables:\n  - {table: \"a.\\e[0m\"}", "line 2: tables[0].table", #"a.\u{1B}[0m"#),
            ("tables: []\ntables: []", "line 1: ", "more than once: tables"),
            ("tables:\n  - {mode: table}", "line 2: tables[0].table ", "is missing"),
        ])
    func plainWords(_ yaml: String, _ place: String, _ words: String) {
        let error = #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.parse(yaml)
        }
        let text = error?.description ?? ""
        #expect(text.hasPrefix("oversync.yaml: \(place)") && text.contains(words), "\(text)")
        for word in ["Sequence", "Node", "Mapping", "Scalar", "Expected"] {
            #expect(!text.contains(word), "\(text)")
        }
    }

    @Test("A file that is not there is named")
    func missing() throws {
        let error = #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.read(path: "/nowhere/oversync.yaml")
        }
        #expect(
            error?.description == "/nowhere/oversync.yaml cannot be read: there is no such file")
    }

    @Test("A file that is no text, or too large, is named with why")
    func bytes() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("oversync.yaml")
        let large = Data("tables: []\n".utf8) + Data(repeating: UInt8(ascii: "\n"), count: 5 << 20)
        for (bytes, words) in [
            (Data([0xff, 0xfe, 0x00]), "is no text"), (large, "is larger than 4194304 bytes"),
            (Data("tables: [\u{0}]".utf8), "control characters"), (Data(), "tables is missing"),
        ] {
            try bytes.write(to: file)
            let error = #expect(throws: RegistrationError.self) {
                _ = try RegistrationFile.read(path: file.path)
            }
            let text = error?.description ?? ""
            #expect(text.hasPrefix(file.path) && text.contains(words), "\(text)")
        }
        #expect(throws: RegistrationError.self) {
            _ = try RegistrationFile.read(path: folder.path)
        }
    }

    @Test("Text that is nested too deep is refused")
    func deep() {
        for text in [
            String(repeating: "[", count: 200_000), String(repeating: "{a: ", count: 200_000),
            "tables: " + String(repeating: "[", count: 900) + String(repeating: "]", count: 900),
        ] {
            #expect(throws: RegistrationError.self) { _ = try RegistrationFile.parse(text) }
        }
    }
}
