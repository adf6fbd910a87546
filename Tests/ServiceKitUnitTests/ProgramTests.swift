import Foundation
import RPC
import Testing

@testable import ServiceKit

/// The options that every service has, and what it says of itself.
struct ProgramTests {
    @Test func `a program takes one option, or none to serve`() {
        #expect(ProgramCommand([]) == .serve)
        #expect(ProgramCommand(["--help"]) == .help)
        #expect(ProgramCommand(["-h"]) == .help)
        #expect(ProgramCommand(["--version"]) == .version)
        #expect(ProgramCommand(["--check"]) == .check)
        #expect(ProgramCommand(["--health"]) == .health)
        #expect(ProgramCommand(["--port"]) == .misuse("does not know the option --port"))
        #expect(ProgramCommand(["--check", "--health"]) == .misuse("takes one option at most"))
    }

    @Test func `the commit is read beside the program, and nothing else is taken for one`() throws {
        let folder = "\(FileManager.default.temporaryDirectory.path)/prefix-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder + "/share/oversync", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = folder + "/bin/oversync-upload"
        #expect(BuildInfo.commit(ofExecutable: program) == "development")
        let file = URL(filePath: folder + "/share/oversync/commit")
        try Data("0a1b2c3d\n".utf8).write(to: file)
        #expect(BuildInfo.commit(ofExecutable: program) == "0a1b2c3d")
        try Data("<script>\n".utf8).write(to: file)
        #expect(BuildInfo.commit(ofExecutable: program) == "development")
    }

    @Test func `the answer of an admin listener is told from anything else`() throws {
        let answer = try HealthRequest.parsed(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\n{}\n")
        #expect(answer.status == 503)
        #expect(answer.text == "{}")
        for text in ["", "SSH-2.0-OpenSSH_9.2", "HTTP/1.1 hello\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            #expect(throws: HealthRequest.NoAnswer.self) { try HealthRequest.parsed(text) }
        }
    }

    @Test func `health asks where the service listens`() throws {
        let port = ["OVERSYNC_ADMIN_PORT": "9191"]
        for (host, asked) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3")] {
            let environment = port.merging(["OVERSYNC_ADMIN_HOST": host]) { $1 }
            #expect(try HealthRequest(Configuration(environment: environment)).host == asked)
        }
        #expect {
            try HealthRequest(Configuration(environment: ["OVERSYNC_ADMIN_PORT": "0"]))
        } throws: { error in
            (error as? ConfigurationError)?.key == "OVERSYNC_ADMIN_PORT"
        }
    }

    @Test func `a socket that cannot be had is a problem of the setting that must change`() {
        let long = String(repeating: "d", count: 100)
        let cases: [(SocketError, String, String)] = [
            (.ownedByAnother(path: "/r/x.sock"), "x", "OVERSYNC_REPLICA"),
            (.invalidReplicaName("a/b"), "a/b", "OVERSYNC_REPLICA"),
            (.pathTooLong(path: "/\(long)/x.sock"), "x", "OVERSYNC_RUN"),
            (.pathTooLong(path: "/run/\(long).sock"), long, "OVERSYNC_REPLICA"),
            (.system(operation: "open", path: "/r", errno: EACCES), "x", "OVERSYNC_RUN"),
        ]
        for (error, replica, key) in cases {
            #expect(ConfigurationError(error, replica: replica).key == key)
        }
    }
}
