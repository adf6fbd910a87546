import Foundation
import ServiceKit
import Testing

@testable import Gateway

/// What `OVERSYNC_ISSUERS` may hold.
struct IssuerFileTests {
    private static let least = """
        issuer: https://id.example.com/
        jwks_url: https://id.example.com/jwks
        audience: sync
        """

    private func flaw(_ yaml: String) -> String? {
        do throws(IssuerFlaw) {
            _ = try IssuerFile.parse(yaml)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func `one issuer needs three lines, and the rest has defaults that open nothing`() throws
    {
        let all = try IssuerFile.parse(Self.least)
        let expected = IssuerSettings(
            name: "id.example.com", issuer: "https://id.example.com/",
            keys: .url("https://id.example.com/jwks", authority: nil), audience: ["sync"],
            algorithms: Set(TokenAlgorithm.allCases), user: ClaimPath(name: "sub"), userPrefix: "",
            sharesUsers: false, device: .claim(ClaimPath(name: "did")), roles: nil,
            knownRoles: nil, refreshSeconds: 300)
        #expect(all == [expected])
    }

    @Test func `several issuers stand in a list, with every key`() throws {
        let all = try IssuerFile.parse(
            """
            issuers:
              - name: keycloak
                issuer: https://id.example.com/realms/acme
                jwks_url: https://id.example.com/realms/acme/protocol/openid-connect/certs
                ca_file: /etc/oversync/ca.pem
                audience: [sync, other]
                algorithms: [RS256, ES384]
                user_claim: ext.uid
                user_prefix: "kc:"
                device_header: true
                roles_claim: realm_access.roles
                roles: [editor]
                refresh_seconds: 60
              - issuer: urn:acme
                name: own
                jwks_file: /etc/oversync/jwks.json
                audience: sync
                user_prefix: "own:"
                device_claim: [https://example.com/device, a.b]
                roles_claim: https://example.com/roles
            """)
        #expect(all.map(\.name) == ["keycloak", "own"])
        #expect(
            all[0].keys
                == .url(
                    "https://id.example.com/realms/acme/protocol/openid-connect/certs",
                    authority: "/etc/oversync/ca.pem"))
        #expect(all[0].algorithms == [.rs256, .es384] && all[0].audience == ["sync", "other"])
        #expect(all[0].user.levels == ["ext", "uid"] && all[0].userPrefix == "kc:")
        #expect(all[0].device == .header && all[0].knownRoles == ["editor"])
        #expect(all[0].roles?.levels == ["realm_access", "roles"])
        #expect(all[0].refreshSeconds == 60)
        #expect(all[1].keys == .file("/etc/oversync/jwks.json"))
        #expect(
            all[1].device
                == .claim(try #require(ClaimPath(levels: ["https://example.com/device", "a.b"]))))
        #expect(all[1].roles?.levels == ["https://example.com/roles"])
    }

    @Test(arguments: [
        ("", "is empty"), ("- ", "must be a mapping"), ("{", "is not YAML"), ("5", "mapping"),
        ("issuers: []", "1 to 32"), ("issuers: 5", "list"),
        ("issuers: []\nmore: 1", "nothing else"),
        ("issuer: a", ".audience is missing"),
    ])
    func `what describes no issuer is refused with its place`(yaml: String, part: String) {
        #expect(flaw(yaml)?.contains(part) == true, "\(flaw(yaml) ?? "taken")")
    }

    @Test(arguments: [
        ("audiense: x", "unknown key \"audiense\""), ("audience: []", "audience is empty"),
        ("audience: {}", ".audience has the wrong type"), ("audience: \"\"", ".audience must have"),
        ("issuer: \"\"", ".issuer must have"), ("algorithms: [HS256]", "\"HS256\" is not one of"),
        ("algorithms: none", "\"none\" is not one of"), ("algorithms: []", "algorithms is empty"),
        ("jwks_file: /a", "either jwks_url or jwks_file"), ("jwks_url: ftp://a/b", "https://"),
        ("jwks_url: http://id.example.com/jwks", "for this machine alone"),
        ("jwks_url: https://u:p@a/b", "is not an address"), ("jwks_url: jwks", "is not an address"),
        ("user_claim: a..b", ".user_claim must name a claim"),
        ("roles_claim: \"\"", ".roles_claim must name a claim"),
        ("roles: [a]", "needs roles_claim"),
        ("device_claim: did\ndevice_header: true", "either device_claim or device_header"),
        ("refresh_seconds: 9", "10 to 86400"), ("refresh_seconds: often", "wrong type"),
        ("name: auth", ".name must have"), ("name: a b", ".name must have"),
        ("issuer: acme", ".name is missing"), ("user_prefix: \"a\\nb\"", ".user_prefix must have"),
        ("roles_claim: r\nroles: [\"a b\"]", "is not a role"),
    ])
    func `a key that cannot be used is refused by its name`(line: String, part: String) {
        let name = line.prefix { $0 != ":" } + ":"
        let lines = Self.least.split(separator: "\n").filter { !$0.hasPrefix(name) }
        let yaml = (lines + [Substring(line)]).joined(separator: "\n")
        #expect(flaw(yaml)?.contains(part) == true, "\(flaw(yaml) ?? "taken")")
    }

    @Test func `all that is wrong is told, of each issuer and each key`() {
        let (issuers, flaws) = IssuerFile.read(
            """
            issuers:
              - {issuer: a, audience: [], jwks_file: /k, algorithms: none, refresh_seconds: 1}
              - {issuer: b, name: b, audience: x, jwks_file: /k, color: red}
              - {name: c}
              - {issuer: b, name: b, audience: x, jwks_file: /k}
            """)
        #expect(issuers.map(\.name) == ["b", "b"])
        let parts = [
            "[0].audience is empty", "[0].refresh_seconds", "[0].name is missing",
            "[0].algorithms", "[1] has the unknown key", "[2].issuer is missing",
            "[3].issuer is also that of b",
        ]
        #expect(flaws.count == parts.count, "\(flaws)")
        for part in parts {
            #expect(flaws.contains { "\($0)".contains(part) }, "\(part) not in \(flaws)")
        }
    }

    @Test func `--check lists them all, besides what is wrong with other files`() {
        let problems = GatewaySettings.problems(
            Configuration(environment: [
                "OVERSYNC_ISSUERS": "[{issuer: a, audience: [], jwks_file: /k}]",
                "OVERSYNC_TLS_CERTIFICATE": "/nowhere/c.pem", "OVERSYNC_TLS_KEY": "/nowhere/k.pem",
            ]))
        let keys = problems.map(\.key)
        #expect(keys.filter { $0 == "OVERSYNC_ISSUERS" }.count == 2, "\(problems)")
        #expect(keys.contains("OVERSYNC_TLS_CERTIFICATE"), "\(problems)")
    }

    @Test(arguments: ["http://127.0.0.1:9/a", "http://localhost/a", "http://[::1]:9/a"])
    func `keys come without TLS from this machine alone`(url: String) throws {
        #expect(
            flaw("issuer: a\nname: a\naudience: b\njwks_url: \(url)") == nil)
    }

    private func pair(_ first: String, _ second: String) -> String {
        let common = "jwks_file: /k, audience: a"
        return "- {issuer: one, name: one, \(common)\(first)}\n"
            + "- {issuer: two, name: two, \(common)\(second)}"
    }

    @Test func `users of two issuers cannot have the same id by accident`() {
        #expect(flaw(pair("", ""))?.contains("could have the same ids") == true)
        #expect(flaw(pair(", user_prefix: a", ", user_prefix: a"))?.contains("could have") == true)
        #expect(flaw(pair("", ", user_prefix: a"))?.contains("must not begin") == true)
        #expect(flaw(pair(", user_prefix: ab", ", user_prefix: a"))?.contains("must not") == true)
        #expect(flaw(pair(", user_prefix: \"a:\"", ", user_prefix: \"b:\"")) == nil)
        #expect(flaw(pair(", shared_users: true", ", shared_users: true")) == nil)
        #expect(flaw(pair(", shared_users: true", ""))?.contains("could have") == true)
        #expect(
            flaw(pair("", "").replacing("two", with: "one"))?.contains(".issuer is also") == true)
    }

    @Test func `an issuer that the installation's own tokens name is refused`() {
        for (own, isRefused) in [("", true), ("other", false)] {
            let environment = [
                "OVERSYNC_ISSUERS": "{issuer: oversync, name: a, jwks_file: /k, audience: a}",
                "OVERSYNC_JWT_ISSUER": own,
            ]
            let settings = try? TokenCheckSettings(Configuration(environment: environment))
            #expect((settings == nil) == isRefused)
        }
    }
}
