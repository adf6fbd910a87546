import NIOCore
import NIOHTTP1
import NIOSSL
import Testing

@testable import Gateway

/// What holds at each port of the gateway.
@Suite("Every listener", .timeLimit(.minutes(1))) struct EveryListenerTests {
    private static let doors: [TLSIdentity.Door] = [.devices, .administrators]

    private static func withPort(
        _ door: TLSIdentity.Door, _ settings: [String: String] = [:],
        _ body: @Sendable (RunningGateway, Int) async throws -> Void
    ) async throws {
        let more = settings.merging(["OVERSYNC_GATEWAY_ADMIN_PORT": "0"]) { $1 }
        try await withGateway(more) { gateway in
            let port = door == .devices ? gateway.port : try #require(gateway.adminPort)
            try await body(gateway, port)
        }
    }

    @Test("No answer is kept, taken for something else, or asked for without TLS", arguments: doors)
    func headers(door: TLSIdentity.Door) async throws {
        for (settings, seconds) in [
            ([:], "31536000"), (["OVERSYNC_HSTS_SECONDS": "60"], "60"),
            (["OVERSYNC_HSTS_SECONDS": "0"], "0"),
        ] {
            try await Self.withPort(door, settings) { gateway, port in
                for path in ["/health", "/ready", "/admin/devices", "/nowhere", "/admin/users"] {
                    let answer = try await gateway.send(.GET, path, at: port)
                    #expect(answer.headers["cache-control"] == ["no-store"], "\(path)")
                    #expect(answer.headers["x-content-type-options"] == ["nosniff"])
                    #expect(answer.headers["strict-transport-security"] == ["max-age=\(seconds)"])
                }
            }
        }
    }

    @Test("A request whose host is missing, given twice or malformed is 400", arguments: doors)
    func hosts(door: TLSIdentity.Door) async throws {
        try await Self.withPort(door) { gateway, port in
            for (hosts, status) in [
                ("Host: localhost\r\n", "200"), ("", "400"),
                ("Host: localhost\r\nHost: localhost\r\n", "400"),
                ("Host: a\r\nHost: b\r\n", "400"),
                ("Host: \r\n", "400"), ("Host: a b\r\n", "400"), ("Host: a,b\r\n", "400"),
                ("Host: a/b\r\n", "400"), ("Host: user@a\r\n", "400"),
                ("Host: a:b\r\n", "400"), ("Host: a:65536\r\n", "400"),
                ("Host: a:\r\n", "200"), ("Host: [::1\r\n", "400"), ("Host: []\r\n", "400"),
                ("Host: my_host.example:8443\r\n", "200"), ("Host: [::1]:443\r\n", "200"),
                ("Host: 127.0.0.1\r\n", "200"),
            ] {
                let answer = try await RawConnection.exchange(
                    gateway, "GET /health HTTP/1.1\r\n\(hosts)Connection: close\r\n\r\n", at: port)
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(hosts)")
            }
        }
    }

    @Test("TLS 1.3 is taken, and of TLS 1.2 the suites with AEAD alone", arguments: doors)
    func tls(door: TLSIdentity.Door) async throws {
        try await Self.withPort(door) { gateway, port in
            for offer in TLSOfferTests.offers {
                let answer = try? await RawConnection.with(
                    gateway, at: port, adjusting: offer.adjust
                ) { connection in
                    let request = RawConnection.get("/health", token: "", "Connection: close\r\n")
                    try await connection.outbound.write(ByteBuffer(string: request))
                    var answer = ""
                    for try await part in connection.inbound { answer += String(buffer: part) }
                    return answer
                }
                let isTaken = answer?.hasPrefix("HTTP/1.1 200 ") == true
                #expect(isTaken == offer.isTaken, "\(offer.testDescription)")
            }
        }
    }
}
