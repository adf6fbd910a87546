import Foundation
import Postgres
import Testing

/// Connection strings that no server can make work.
struct ConnectionFlawsTests {
    private func flaws(_ url: String) throws -> [String] {
        try PostgresConfiguration(url: url, applicationName: "test").flaws()
    }

    @Test(arguments: [
        "postgresql://ann:secret@db.example/app", "postgresql://ann@db.example:6543/app",
        "postgresql:///app?host=/var/run/postgresql", "host=a,b port=5432,5433 user=ann dbname=x",
        "postgresql://ann@a:1,b:2/app?target_session_attrs=read-write",
        "postgresql://ann@db/app?sslmode=verify-full&connect_timeout=5&keepalives_idle=30",
        "hostaddr=::1 user=ann dbname=app", "host=a,b,c port=5432 user=ann",
        "host= port= user=ann", "postgresql://ann@db/app?options=-c%20geqo%3Doff",
    ])
    func `a good one has none, and nothing is connected to`(url: String) throws {
        #expect(try flaws(url).isEmpty)
    }

    @Test(arguments: [
        ("postgresql://db/app?port=bad&user=ann", "port"),
        ("host=db port=70000 user=ann", "port"), ("host=db port=0 user=ann", "port"),
        ("host=a,b port=1,x user=ann", "port"), ("host=a,b port=1,2,3 user=ann", "3 ports for 2"),
        ("host=a,b hostaddr=127.0.0.1 user=ann", "hostaddr"),
        ("hostaddr=db.example user=ann", "hostaddr"),
        ("postgresql://ann@db/app?sslmode=on", "sslmode"),
        ("postgresql://ann@db/app?target_session_attrs=master", "target_session_attrs"),
        ("postgresql://ann@db/app?channel_binding=maybe", "channel_binding"),
        ("postgresql://ann@db/app?gssencmode=maybe", "gssencmode"),
        ("postgresql://ann@db/app?ssl_min_protocol_version=SSLv3", "ssl_min_protocol_version"),
        ("postgresql://ann@db/app?keepalives_count=many", "keepalives_count"),
        ("postgresql://ann@db/app?connect_timeout=5s", "connect_timeout"),
        ("postgresql://ann@db/app?tcp_user_timeout=99999999999", "tcp_user_timeout"),
        ("postgresql://ann@db/app?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "sslrootcert"),
        ("postgresql://ann@db/app?sslcert=/nowhere/c.pem", "sslcert"),
        ("postgresql://ann@db/app?sslkey=/nowhere/c.key", "sslkey"),
        ("service=no-such-service user=ann", "service"),
        ("host=/\(String(repeating: "d", count: 100)) user=ann", "socket directory"),
    ])
    func `one that libpq refuses for ever names the keyword`(url: String, word: String) throws {
        let flaws = try flaws(url)
        #expect(flaws.count == 1)
        #expect(flaws.first?.contains(word) == true, "\(flaws)")
    }

    @Test func `several flaws are told at once`() throws {
        let flaws = try flaws(
            "host=db port=bad user=ann sslmode=verify-ca sslrootcert=/nowhere/ca keepalives=x")
        #expect(flaws.count == 3, "\(flaws)")
    }

    @Test func `a part of a password that is taken for a host or port is not quoted`() throws {
        // The slash of the password was not encoded.
        let flaws = try flaws("postgresql://ann:hun/ter2@db/app")
        #expect(!flaws.isEmpty)
        #expect(!flaws.contains { $0.contains("hun") || $0.contains("ter2") })
        #expect(flaws.contains { $0.contains("percent-encoded") })
    }

    @Test func `a key that others can read is refused as libpq would`() throws {
        let path = "\(FileManager.default.temporaryDirectory.path)/key-\(UUID().uuidString)"
        try Data("key".utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(chmod(path, 0o644) == 0)
        #expect(try flaws("host=db user=ann sslkey=\(path)").count == 1)
        #expect(chmod(path, 0o600) == 0)
        #expect(try flaws("host=db user=ann sslkey=\(path)").isEmpty)
    }
}
