import Model
import SeededRandom
import Testing

@testable import Sidecar

@Suite("Who may read and write a table")
struct TableAccessTests {
    private static func caller(
        _ user: String = "ann", _ device: String = "phone", _ roles: [String] = []
    ) -> Caller {
        Caller(user: UserID(user), device: DeviceID(device), roles: roles)
    }

    @Test(
        "A star stands for any text, also for none",
        arguments: [
            ("ann", ["ann"], ["an", "anna", "Ann", ""]),
            ("*", ["", "ann", "*"], []),
            ("till-*", ["till-", "till-7"], ["till", "a-till-7"]),
            ("*@x", ["@x", "ann@x"], ["ann@x.y", "@"]),
            ("a*b", ["ab", "aab", "a*b"], ["a", "b", "aba"]),
            ("a*a", ["aa", "aba"], ["a"]),
            ("*a*", ["a", "bab"], ["", "b"]),
            ("a**b", ["ab", "axb"], ["a"]),
            ("*ab*ab*", ["abab", "xabxabx"], ["ab", "aab", "aba"]),
            ("é*", ["é"], ["e\u{301}"]),
        ])
    func patterns(text: String, fitting: [String], others: [String]) throws {
        let pattern = try #require(NamePattern(text))
        for name in fitting { #expect(pattern.matches(name), "\(name)") }
        for name in others { #expect(!pattern.matches(name), "\(name)") }
    }

    @Test("A pattern fits whatever one that tries all places for each star says")
    func exhaustive() {
        var random = SeededGenerator(seed: 7)
        func text(_ letters: [Character], _ longest: Int) -> String {
            let count = Int.random(in: 0...longest, using: &random)
            return String((0..<count).map { _ in letters.randomElement(using: &random) ?? "a" })
        }
        func fits(_ pattern: Substring, _ name: Substring) -> Bool {
            guard let first = pattern.first else { return name.isEmpty }
            guard first == "*" else {
                return name.first == first && fits(pattern.dropFirst(), name.dropFirst())
            }
            return (0...name.count).contains { fits(pattern.dropFirst(), name.dropFirst($0)) }
        }
        var fitting = 0
        for _ in 0..<5000 {
            let (pattern, name) = (text(["a", "b", "*"], 7), text(["a", "b"], 8))
            guard let made = NamePattern(pattern) else { continue }
            let expected = fits(pattern[...], name[...])
            #expect(made.matches(name) == expected, "\(pattern) \(name)")
            fitting += expected ? 1 : 0
        }
        #expect(fitting > 300)
    }

    @Test("An empty pattern is none, nor is one that is too long or has too many stars")
    func bounds() {
        #expect(NamePattern("") == nil)
        #expect(NamePattern(String(repeating: "a", count: 256)) != nil)
        #expect(NamePattern(String(repeating: "a", count: 257)) == nil)
        #expect(NamePattern(String(repeating: "*", count: 8)) != nil)
        #expect(NamePattern(String(repeating: "*", count: 9)) == nil)
    }

    @Test("All that an entry names must fit, and one entry is enough")
    func entries() throws {
        let grantees = Grantees(
            roles: ["editor"],
            patterns: [
                AccessPattern(role: "staff", device: NamePattern("till-*")),
                AccessPattern(user: NamePattern("eva")),
            ])
        #expect(grantees.include(Self.caller("x", "y", ["editor"])))
        #expect(grantees.include(Self.caller("eva")))
        #expect(grantees.include(Self.caller("x", "till-1", ["staff"])))
        #expect(!grantees.include(Self.caller("x", "till-1")))
        #expect(!grantees.include(Self.caller("x", "phone", ["staff"])))
        let access = TableAccess(readers: nil, writers: grantees)
        #expect(access.mayRead(Self.caller()) && !access.mayWrite(Self.caller()))
        let closed = TableAccess(readers: Grantees(roles: []), writers: nil)
        #expect(!closed.mayRead(Self.caller("x", "y", ["editor"])))
        #expect(!closed.mayWrite(Self.caller("x", "y", ["editor"])))
    }

    @Test("The database gives back what was stored; what cannot be read lets nobody in")
    func stored() throws {
        let grantees = Grantees(
            roles: ["b", "a"],
            patterns: [
                AccessPattern(role: "staff", user: NamePattern("a\"/*"), device: nil),
                AccessPattern(device: NamePattern("till-*")),
            ])
        let patterns = try #require(grantees.storedPatterns)
        #expect(patterns == #"[{"device":"till-*"},{"role":"staff","user":"a\"/*"}]"#)
        #expect(grantees.storedRoles == ["a", "b"])
        #expect(Grantees(roles: "a,b", patterns: patterns) == grantees)
        #expect(Grantees(roles: nil, patterns: nil) == nil)
        #expect(Grantees(roles: "", patterns: nil) == Grantees(roles: []))
        for bad in [
            "{}", "[{}]", #"[{"usr":"a"}]"#, #"[{"user":"a","more":"b"}]"#, #"[{"user":""}]"#,
        ] {
            #expect(Grantees(roles: "", patterns: bad) == Grantees(roles: []), "\(bad)")
        }
    }

    @Test("The same tables have one fingerprint, whatever their order and who asks")
    func fingerprints() {
        func table(_ id: TableID, _ name: String, _ access: TableAccess = .everybody)
            -> RegisteredTable
        {
            RegisteredTable(
                id: id, name: .init(schema: "s", table: name), keyKind: .uuid, keyColumn: "id",
                mode: .sidecar, ownerColumn: nil, access: access)
        }
        let staff = TableAccess(readers: Grantees(roles: ["staff"]), writers: nil)
        let (notes, audits) = (table(1, "notes"), table(2, "audits", staff))
        let catalog = Catalog(tables: [notes, audits])
        let all = catalog.readableTables(to: Self.caller("x", "y", ["staff", "more"]))
        #expect(all.names == ["s.audits", "s.notes"])
        // Of "s.audits\ns.notes\n": it must never change, or every device reads everything again.
        #expect(all.fingerprint == "82678815ede1b254")
        #expect(
            Catalog(tables: [audits, notes]).readableTables(to: Self.caller("x", "y", ["staff"]))
                == all)
        let some = catalog.readableTables(to: Self.caller())
        #expect(some.names == ["s.notes"] && some.fingerprint != all.fingerprint)
        #expect(some == Catalog(tables: [notes]).readableTables(to: Self.caller()))
        let none = Catalog(tables: []).readableTables(to: Self.caller())
        #expect(none.fingerprint == "e3b0c44298fc1c14")
    }
}
