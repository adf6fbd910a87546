import Foundation
import Programs
import LocalPostgres
import Logging
import Postgres
import TestSupport
import Testing

/// Databases are reached over networks: libpq's TLS, with the checks that connection strings ask for.
@Suite struct TLSTests {
    @Test func `verify-full connects to the server of the certificate and to no other`()
        async throws
    {
        try await TestDatabase.withCluster { cluster in
            let certificate = try await Self.makeCertificate(for: "localhost", in: cluster)
            let port = try Self.freePort()
            try await Self.administer(
                cluster,
                """
                ALTER SYSTEM SET listen_addresses = '127.0.0.1';
                ALTER SYSTEM SET port = \(port);
                ALTER SYSTEM SET ssl = on;
                ALTER SYSTEM SET ssl_cert_file = '\(certificate.path).pem';
                ALTER SYSTEM SET ssl_key_file = '\(certificate.path).key';
                """)
            try await cluster.restart()
            func url(_ host: String, _ options: String) -> String {
                let user = cluster.connectionURL().split(separator: "@")[0]
                return "\(user)@\(host):\(port)/postgres?\(options)"
            }
            let trusted = "sslmode=verify-full&sslrootcert=\(certificate.path).pem"
            let connection = try await Self.connect(url("localhost", trusted))
            defer { connection.close() }
            let commands = (0..<100).map { number in
                Command(
                    Statement(
                        name: "tls_\(number)",
                        sql:
                            "SELECT ssl, repeat('x', 100000) FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                    ))
            }
            for result in try await connection.run(commands) {
                #expect(try result.bool(0, 0))
                #expect(try result.string(0, 1).utf8.count == 100_000)
            }
            // The certificate names localhost only.
            await #expect(throws: PostgresError.self) {
                try await Self.connect(url("127.0.0.1", trusted)).close()
            }
            let other = try await Self.makeCertificate(
                for: "localhost", in: cluster, named: "other")
            let error = await #expect(throws: PostgresError.self) {
                try await Self.connect(
                    url("localhost", "sslmode=verify-full&sslrootcert=\(other.path).pem")
                ).close()
            }
            #expect("\(try #require(error))".contains("certificate verify failed"))
        }
    }

    private struct CertificateFiles {
        /// Without `.pem` and `.key`.
        let path: String
    }

    private static func makeCertificate(
        for host: String, in cluster: LocalPostgres, named name: String = "server"
    ) async throws -> CertificateFiles {
        let path = "\(cluster.directory)/\(name)"
        let make = Program(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "1", "-subj", "/CN=\(host)", "-addext",
                "subjectAltName=DNS:\(host)",
                "-keyout", "\(path).key", "-out", "\(path).pem",
            ])
        try #require(try await make.run() == 0)
        // The server insists that its key is its own.
        let data = try FileManager.default.attributesOfItem(atPath: "\(cluster.directory)/data")
        for suffix in [".key", ".pem"] {
            try FileManager.default.setAttributes(
                [
                    .ownerAccountID: try #require(data[.ownerAccountID]),
                    .posixPermissions: suffix == ".key" ? 0o600 : 0o644,
                ], ofItemAtPath: path + suffix)
        }
        return CertificateFiles(path: path)
    }

    /// A port that the system has just had free.
    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { socketAddress in
                bind(descriptor, socketAddress, size)
                    | getsockname(descriptor, socketAddress, &size)
            }
        }
        try #require(status == 0)
        return UInt16(bigEndian: address.sin_port)
    }

    private static func connect(_ url: String) async throws -> PostgresConnection {
        try await PostgresConnection.connect(
            PostgresConfiguration(url: url),
            logger: Logger(label: "test.tls") { _ in SwiftLogNoOpLogHandler() })
    }

    private static func administer(_ cluster: LocalPostgres, _ script: String) async throws {
        let connection = try await connect(cluster.connectionURL())
        defer { connection.close() }
        for statement in script.split(separator: ";\n") {
            try await connection.execute(script: String(statement))
        }
    }
}
