import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

/// A gateway that may open few files.
@Suite("File limit", .timeLimit(.minutes(5)))
struct FileLimitTests {
    private static let files = 256
    private static let silent = 400

    /// Runs a program that may open few files, whatever it asks for.
    private static let wrapper = [
        "/bin/sh", "-c", "ulimit -n \(files) && exec \"$@\"", "sh",
    ]

    @Test(
        "Silent connections lock nobody out, also where the limits do not fit the files",
        arguments: [nil, "1000"])
    func silentConnections(limit: String?) async throws {
        let folder = try TestFolder()
        let gateway = try await ServiceRun(
            .gateway, try folder.environment(["OVERSYNC_MAX_CONNECTIONS": limit]), in: folder,
            wrapper: Self.wrapper)
        try await gateway.logged("listening")
        #expect(gateway.text.contains("ulimit -n"), "\(gateway.text)")
        let address = try #require(
            gateway.text.firstMatch(
                of: /"address":"\[IPv4\]127\.0\.0\.1(?:\/127\.0\.0\.1)?:(\d+)"/))
        let port = try #require(Int(address.output.1))
        var channels: [any Channel] = []
        for _ in 1...Self.silent {
            channels.append(
                try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                    .connect(host: "127.0.0.1", port: port).get())
        }
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(folder.path + "/server.pem")
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: HTTPClient.Configuration(tlsConfiguration: tls))
        try await eventually("an answer") {
            let request = HTTPClientRequest(url: "https://localhost:\(port)/health")
            let answer = try? await client.execute(request, timeout: .seconds(30))
            return answer?.status == .ok
        }
        try await client.shutdown()
        for channel in channels { channel.close(promise: nil) }
        try await gateway.stop()
    }

    @Test("A check tells the numbers that do not fit, and the setting to change")
    func check() async throws {
        let folder = try TestFolder()
        let check = try await ServiceRun(
            .gateway, try folder.environment(["OVERSYNC_MAX_CONNECTIONS": "1000"]), ["--check"],
            in: folder, wrapper: Self.wrapper)
        #expect(try await check.exitCode() == 0)
        #expect(
            check.text.contains(
                "warning: OVERSYNC_MAX_CONNECTIONS is 1000, and this process may open 256 files"),
            "\(check.text)")
    }
}
