@testable import AuthService
import Foundation
import ServiceKit
import Testing
import Tokens

@Suite("The file of clients")
struct ClientFileTests {
    private static let hash = String(repeating: "a", count: 64)

    private static func problem(_ yaml: String) -> String? {
        do throws(ClientFile.Problem) {
            _ = try ClientFile.parse(yaml, lifetime: 900)
            return nil
        } catch {
            return error.description
        }
    }

    private static func client(_ lines: String) -> String {
        """
        clients:
          - id: shop
            secret_sha256: ["\(hash)"]
            users: ["*"]
            \(lines)

        """
    }

    @Test("What a client does not say has a narrow default")
    func defaults() throws {
        let client = try #require(try ClientFile.parse(Self.client(""), lifetime: 900)["shop"])
        #expect(client.roles == [] && client.maximumLifetime == 900)
        #expect(client.devices.allSatisfy { $0.matches("anything") })
        #expect(try ClientFile.parse("clients: []", lifetime: 900).isEmpty)
    }

    @Test("All that is wrong is told, of each client")
    func several() {
        let hash = Self.hash
        let (clients, problems) = ClientFile.read(
            """
            clients:
              - {id: 'a:b', secret_sha256: ['\(hash)'], users: ['*']}
              - {id: good, secret_sha256: ['\(hash)'], users: ['*']}
              - {id: shop, secret_sha256: ['\(hash)'], users: ['*'], rolls: [x]}
              - {id: good, secret_sha256: ['\(hash)'], users: []}
            """, lifetime: 900)
        #expect(clients.keys.sorted() == ["good", "shop"])
        let parts = ["clients[0].id", "clients[2] has the unknown key rolls", "clients[3].users"]
        #expect(problems.count == parts.count, "\(problems)")
        for part in parts {
            #expect(problems.contains { "\($0)".contains(part) }, "\(part) not in \(problems)")
        }
    }

    @Test(
        "A file that cannot be used says where and why, and quotes no secret",
        arguments: [
            ("", "it has the wrong type"),
            ("clients: 3", "line 1: clients has the wrong type: it must be a list"),
            ("clients:\n  - {id: a", "line 3, column"),
            ("client: []", "unknown key client in line 1"),
            ("clients: [{id: shop}]", "line 1: clients[0].users is missing"),
            ("clients: [{id: a, users: ['*']}]", "clients[0].secret_sha256"),
            (
                "clients: [{id: a, users: ['*'], certificate: ['jobs']}]",
                "clients[0].certificate"
            ),
            ("clients: [{id: a, users: ['*'], certificate: []}]", "clients[0].certificate"),
            (client("role: [x]"), "clients[0] has the unknown key role in line 5"),
            (client("roles: [\"a b\"]"), "clients[0].roles"),
            (client("max_lifetime_seconds: 0"), "clients[0].max_lifetime_seconds"),
            (client("max_lifetime_seconds: 86401"), "clients[0].max_lifetime_seconds"),
            (client("devices: []"), "clients[0].devices"),
            ("clients: [{id: 'a:b', secret_sha256: ['\(hash)'], users: ['*']}]", "clients[0].id"),
            ("clients: [{id: a, secret_sha256: [hush], users: ['*']}]", "clients[0].secret_sha256"),
            ("clients: [{id: a, secret_sha256: [], users: ['*']}]", "clients[0].secret_sha256"),
            (
                client("") + "  - {id: shop, secret_sha256: ['\(hash)'], users: ['*']}",
                "shop is listed twice"
            ),
        ])
    func problems(yaml: String, words: String) {
        let problem = Self.problem(yaml)
        #expect(problem?.contains(words) == true, "\(problem ?? "none")")
        #expect(problem?.contains("hush") == false)
    }

    @Test("A file that changes is taken, one that cannot be used is not, and --check tells of it")
    func reload() throws {
        let path = "\(FileManager.default.temporaryDirectory.path)/clients-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let configuration = Configuration(environment: ["OVERSYNC_AUTH_CLIENTS_FILE": path])
        func write(_ text: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }
        try write(Self.client(""))
        let book = try ClientBook(configuration, lifetime: 900)
        #expect(book["shop"] != nil && book["web"] == nil)
        #expect(try !book.reload(configuration))
        try write(Self.client("").replacing("shop", with: "web"))
        #expect(try book.reload(configuration))
        #expect(book["shop"] == nil && book["web"] != nil)
        try write("clients: [{id: web}]")
        let error = #expect(throws: ConfigurationError.self) { try book.reload(configuration) }
        #expect(error?.key == "OVERSYNC_AUTH_CLIENTS")
        #expect(book["web"] != nil)
        #expect(ClientBook.problems(configuration).map(\.key) == ["OVERSYNC_AUTH_CLIENTS"])
        #expect(ClientBook.problems(Configuration(environment: [:])).isEmpty)
    }

    @Test("The audit is shown names, and for each a text that changes with anything of its client")
    func shown() throws {
        let hash = String(repeating: "b", count: 64)
        func shown(
            _ lines: String, others: [String] = [], key: String = "k"
        ) throws -> [String: String] {
            let more = others.map {
                "  - {id: \($0), secret_sha256: ['\(hash)'], users: ['*']}\n"
            }
            let configuration = Configuration(
                environment: ["OVERSYNC_AUTH_CLIENTS": Self.client(lines) + more.joined()])
            let book = try ClientBook(configuration, lifetime: 900)
            return Dictionary(uniqueKeysWithValues: book.shown(by: key).map { ($0, $1) })
        }
        let name = "OVERSYNC_AUTH_CLIENTS shop"
        let plain = try shown("")
        #expect(plain.keys.sorted() == [name])
        #expect(plain[name]?.wholeMatch(of: /[0-9a-f]{16}/) != nil)
        #expect(try shown("") == plain)
        var texts: Set = [plain[name], try shown("", key: "other")[name]]
        for lines in [
            "roles: [a]", "roles: [a, b]", "devices: [a]", #"devices: ["a*"]"#,
            "max_lifetime_seconds: 5", #"certificate: ["dns:a"]"#, "roles: [ab]",
            #"certificate: ["dns:b"]"#,
        ] { texts.insert(try shown(lines)[name]) }
        #expect(texts.count == 10)
        let two = try shown("", others: ["web"])
        #expect(two[name] == plain[name] && two.count == 2)
        let all = try shown("", others: (0..<250).map { "c\($0)" })
        #expect(all.count == 201)
        #expect(all["OVERSYNC_AUTH_CLIENTS, others"]?.hasPrefix("51 clients, hash ") == true)
        #expect(!all.values.contains { $0.contains(hash) })
    }

    @Test(
        "A star stands for any text, everything else for itself",
        arguments: [
            ("*", "", true), ("*", "anything*", true), ("a", "a", true), ("a", "ab", false),
            ("a*", "a", true), ("a*", "abc", true), ("a*", "ba", false), ("*a", "ba", true),
            ("*a", "ab", false), ("a*a", "a", false), ("a*a", "aa", true), ("a*b*c", "abc", true),
            ("a*b*c", "a-c", false), ("a*b*c", "axxbyyc", true), ("a**c", "abc", true),
            ("*b*b*", "abba", true), ("*b*b*", "aba", false), ("a.c", "abc", false),
            ("[a]", "a", false), ("é", "e\u{301}", false), ("", "", true), ("", "a", false),
            ("*ab*abc", "ababc", true), ("*ab*abc", "abc", false),
        ])
    func patterns(pattern: String, name: String, matches: Bool) {
        #expect(NamePattern(pattern).matches(name) == matches)
    }
}
