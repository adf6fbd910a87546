import DevStack
import Foundation
import LocalPostgres
import OperatorKit

/// nginx on loopback that answers one path with one text through TLS: the floor of an answer without any work.
struct StaticServer: Sendable {
    static let path = "/static"
    private static let patience: Duration = .seconds(10)

    let port: Int
    private let process: TiedProcess
    private let folder: String

    /// Starts it with a configuration of its own in the stack's folder.
    ///
    /// - Parameter body: what it answers; without single quotes and dollars.
    static func start(in directory: StackDirectory, body: String) async throws -> StaticServer {
        let folder = directory.root + "/nginx"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        let port = try FreePort.find()
        let file = folder + "/nginx.conf"
        try configuration(folder, directory, port, body).write(
            toFile: file, atomically: true, encoding: .utf8)
        let process: TiedProcess
        do {
            process = try TiedProcess(
                program: "nginx", ["-e", folder + "/error.log", "-p", folder, "-c", file])
        } catch LocalPostgresError.programMissing {
            throw StackError("nginx is missing: `make bench` installs it (Debian's nginx-light)")
        }
        let server = StaticServer(port: port, process: process, folder: folder)
        do {
            try await server.waitUntilReady()
        } catch {
            await process.stop()
            throw error
        }
        return server
    }

    /// nginx's first process.
    func processID() throws -> Int32 {
        let text = try? String(contentsOfFile: Self.processFile(folder), encoding: .utf8)
        guard let id = text.flatMap({ Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) })
        else { throw StackError("nginx has no process file") }
        return id
    }

    func stop() async { await process.stop() }

    private static func processFile(_ folder: String) -> String { folder + "/nginx.pid" }

    private static func configuration(
        _ folder: String, _ directory: StackDirectory, _ port: Int, _ body: String
    ) -> String {
        """
        daemon off;
        \(geteuid() == 0 ? "user root;" : "")
        worker_processes 1;
        pid \(processFile(folder));
        error_log \(folder)/error.log;
        events { worker_connections 1024; }
        http {
          access_log off;
          default_type application/json;
          keepalive_requests 1000000000;
          keepalive_timeout 1h;
          client_body_temp_path \(folder)/body;
          proxy_temp_path \(folder)/proxy;
          fastcgi_temp_path \(folder)/fastcgi;
          uwsgi_temp_path \(folder)/uwsgi;
          scgi_temp_path \(folder)/scgi;
          server {
            listen 127.0.0.1:\(port) ssl;
            ssl_certificate \(directory.certificates)/server.pem;
            ssl_certificate_key \(directory.certificates)/server.key;
            ssl_protocols TLSv1.3;
            location = \(path) { return 200 '\(body)'; }
          }
        }
        """
    }

    /// Connects again and again: a server that comes up sends no event.
    private func waitUntilReady() async throws {
        let end = ContinuousClock.now + Self.patience
        while !LocalPort.accepts(port) {
            guard ContinuousClock.now < end else {
                let log = try? String(contentsOfFile: folder + "/error.log", encoding: .utf8)
                throw StackError("nginx did not start: \(log ?? "it says nothing")")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// Ports of this machine.
enum LocalPort {
    static func accepts(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr(LoadTarget.host)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, size) == 0
            }
        }
    }
}
