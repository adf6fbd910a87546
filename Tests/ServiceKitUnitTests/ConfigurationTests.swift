import Foundation
import Testing

@testable import ServiceKit

/// Values from the environment and from files, and what is said about those that cannot be used.
struct ConfigurationTests {
    private static let setting = Setting.integer("KEY", "a number", default: 7, in: 1...9)
    private static let secret = Setting.secret("SECRET", "a secret", isRequired: true)

    private func withFile(_ content: Data, _ body: (String) throws -> Void) throws {
        let path = "\(FileManager.default.temporaryDirectory.path)/setting-\(UUID().uuidString)"
        try content.write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test func `a value comes from the variable, from the file, or is the default`() throws {
        try withFile(Data(" 5\n".utf8)) { path in
            let cases: [([String: String], Int, String)] = [
                ([:], 7, "default 7"), (["KEY": "3"], 3, "environment variable KEY"),
                (["KEY": ""], 7, "default 7"),
                (["KEY_FILE": path], 5, "file \(path), named by KEY_FILE"),
            ]
            for (environment, value, source) in cases {
                let configuration = Configuration(environment: environment)
                let found = try configuration.value(Self.setting)
                #expect(found == value)
                #expect(configuration.source(of: "KEY", among: [Self.setting]) == source)
            }
        }
        #expect(Configuration(environment: [:]).source(of: "SECRET") == "not set")
    }

    @Test(arguments: [
        (
            Setting.host("H", "host", default: "::"),
            ["127.0.0.1", "::1", "fe80::1%eth0", "box-1.a"],
            ["a b", "10.0.0.1:80", "http://a", "a..b", "[::1]", "-a", " "]
        ),
        (
            Setting.role("H", "role", default: "admin"), ["ops:admin", "a.b_c-1"],
            ["a b", "ä", String(repeating: "a", count: 64)]
        ),
        (
            Setting.folder("H", "folder", default: "/run"), ["/run/over sync", "run"],
            [" ", "/a\nb"]
        ),
    ])
    func `hosts, roles and folders are looked at before they are used`(
        setting: Setting<String>, good: [String], bad: [String]
    ) {
        for text in good + bad {
            let problem = setting.problem(in: Configuration(environment: ["H": text]))
            #expect((problem == nil) == good.contains(text), "\(text): \(problem as Any)")
        }
    }

    @Test func `a file that cannot be used is named by its variable, never by its content`() throws
    {
        func problem(_ path: String) -> ConfigurationError? {
            Self.secret.problem(in: Configuration(environment: ["SECRET_FILE": path]))
        }
        let absent = problem("/nowhere/secret")
        #expect(absent?.key == "SECRET_FILE")
        #expect(
            absent?.reason
                == "names /nowhere/secret, which cannot be read: No such file or directory")
        #expect(problem("/tmp")?.reason == "names /tmp, which is not a regular file")
        try withFile(Data("\n".utf8)) { path in
            #expect(problem(path)?.reason == "names \(path), which is empty")
        }
        try withFile(Data([0xFF, 0xFE, 0x41])) { path in
            #expect(problem(path)?.reason == "names \(path), which is not UTF-8 text")
        }
        try withFile(Data(count: SettingFile.maximumBytes + 1)) { path in
            #expect(problem(path)?.reason.contains("larger than") == true)
        }
        try withFile(Data("s3cret".utf8)) { path in
            let both = Configuration(environment: ["SECRET": "x", "SECRET_FILE": path])
            let error = Self.secret.problem(in: both)
            #expect(error?.description == "SECRET and SECRET_FILE are both set; keep one")
        }
    }

    @Test func `a pipe without a writer does not hold up the start`() throws {
        let path = "\(FileManager.default.temporaryDirectory.path)/pipe-\(UUID().uuidString)"
        try #require(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        let configuration = Configuration(environment: ["SECRET_FILE": path])
        #expect(
            Self.secret.problem(in: configuration)?.reason
                == "names \(path), which is not a regular file")
    }

    @Test func `what is required and not set is a problem`() {
        let empty = Configuration(environment: [:])
        #expect(Self.secret.problem(in: empty)?.description == "SECRET is not set: a secret")
        #expect(Self.setting.problem(in: empty) == nil)
    }

    @Test(arguments: [
        ("web-1", "web-1"), ("web 1/a", "web-1-a"), ("..hidden", "hidden"), ("", "1"), ("...", "1"),
        ("é", "--"), (String(repeating: "x", count: 100), String(repeating: "x", count: 64)),
    ])
    func `a host's name becomes a valid name of a replica`(host: String, replica: String) {
        #expect(ReplicaName.of(host: host) == replica)
        #expect(ReplicaName.isValid(replica))
    }

    @Test func `the default of the replica's name is one that a socket can have`() throws {
        let name = try Configuration(environment: [:]).value(CommonSettings.replica)
        #expect(ReplicaName.isValid(name))
        #expect(CommonSettings.replica.defaultText == "host name")
    }
}
