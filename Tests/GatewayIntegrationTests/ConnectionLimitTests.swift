import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import Gateway

/// Connections that say nothing, and tokens that are not good.
@Suite("Limits of connections and tokens", .timeLimit(.minutes(1)))
struct ConnectionLimitTests {
    /// Opens connections that say nothing.
    private static func silent(
        _ count: Int, _ gateway: RunningGateway
    ) async throws -> [any Channel] {
        var channels: [any Channel] = []
        for _ in 1...count {
            channels.append(
                try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                    .connect(host: "localhost", port: gateway.port).get())
        }
        return channels
    }

    @Test(
        "Silent connections lock nobody out, and close no connection of a user",
        arguments: ["OVERSYNC_MAX_CONNECTIONS", "OVERSYNC_MAX_ADDRESS_CONNECTIONS"])
    func silentConnections(setting: String) async throws {
        try await withGateway([setting: "4"]) { gateway in
            let token = try await RunningGateway.token()
            try await RawConnection.with(gateway) { connection in
                let request = RawConnection.get("/sync/schema-version", token: token)
                var answers = connection.inbound.makeAsyncIterator()
                func ask() async throws {
                    try await connection.outbound.write(ByteBuffer(string: request))
                    let answer = String(buffer: try #require(try await answers.next()))
                    #expect(answer.hasPrefix("HTTP/1.1 200 "))
                }
                try await ask()
                let channels = try await Self.silent(20, gateway)
                // All but three have had to go.
                try await eventually { channels.count { !$0.isActive } >= 17 }
                let client = HTTPClient(
                    eventLoopGroupProvider: .singleton,
                    configuration: try RunningGateway.configuration(gateway.certificate))
                let honest = try await gateway.sendSigned(
                    .GET, "/sync/schema-version", client: client)
                #expect(honest.status == 200)
                try await client.shutdown()
                try await ask()
                #expect(gateway.refusals("silent_connection") >= 17)
                #expect(gateway.refusals("connection") == 0)
                for channel in channels { channel.close(promise: nil) }
            }
        }
    }

    @Test("Beyond the rejected tokens of an address, only tokens that are known get in")
    func rejectedTokens() async throws {
        try await withGateway(["OVERSYNC_RATE_REJECTED_TOKENS": "1"]) { gateway in
            func ask(_ token: String) async throws -> RunningGateway.Answer {
                try await gateway.send(
                    .GET, "/sync/schema-version", headers: ["Authorization": "Bearer \(token)"])
            }
            let known = try await RunningGateway.token()
            #expect(try await ask(known).status == 200)
            let bad = String(known.dropLast(3) + "AAA")
            #expect(bad != known)
            for _ in 1...4 { #expect(try await ask(bad).status == 401) }
            var turn = 0
            var refused = try await ask(bad)
            // A second later one more token may be checked: until it is a good one that may not.
            try await eventually {
                turn += 1
                while try await ask(bad).status != 429 {}
                refused = try await ask(try await RunningGateway.token(user: "fresh-\(turn)"))
                return refused.status == 429
            }
            #expect(refused.text("error") == "too_many_rejections")
            #expect(refused.headers.contains(name: "Retry-After"))
            #expect(try await ask(known).status == 200)
            // A header without a token is not one that was rejected.
            #expect(try await gateway.send(.GET, "/sync/schema-version").status == 401)
            let fresh = try await RunningGateway.token(user: "fresh")
            try await eventually { try await ask(fresh).status == 200 }
        }
    }
}
