import NIOCore
import NIOSSL
import Testing

@testable import Gateway

/// Which versions and suites of TLS the gateway agrees to.
@Suite(.timeLimit(.minutes(1)))
struct TLSOfferTests {
    struct Offer: Sendable, CustomTestStringConvertible {
        let version: TLSVersion
        var suite: NIOTLSCipher?
        let isTaken: Bool

        var testDescription: String { "\(version) \(suite?.rawValue ?? 0)" }

        func adjust(_ tls: inout TLSConfiguration) {
            tls.minimumTLSVersion = version
            tls.maximumTLSVersion = version
            if let suite { tls.cipherSuiteValues = [suite] }
        }
    }

    /// The test's certificate has an ECDSA key.
    static let offers: [Offer] = [
        Offer(version: .tlsv13, isTaken: true), Offer(version: .tlsv12, isTaken: true),
        Offer(version: .tlsv11, isTaken: false), Offer(version: .tlsv1, isTaken: false),
        Offer(
            version: .tlsv12, suite: .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, isTaken: true),
        Offer(
            version: .tlsv12, suite: .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, isTaken: true),
        Offer(
            version: .tlsv12, suite: .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            isTaken: true),
        Offer(version: .tlsv12, suite: .TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, isTaken: false),
        Offer(version: .tlsv12, suite: .TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, isTaken: false),
    ]

    @Test(arguments: offers)
    func `TLS 1.3 is taken, and of TLS 1.2 the suites with AEAD alone`(offer: Offer) async throws {
        try await withGateway { gateway in
            let answer = try? await RawConnection.with(
                gateway,
                adjusting: offer.adjust,
                { connection in
                    let request = RawConnection.get("/health", token: "", "Connection: close\r\n")
                    try await connection.outbound.write(ByteBuffer(string: request))
                    var answer = ""
                    for try await part in connection.inbound { answer += String(buffer: part) }
                    return answer
                })
            #expect((answer?.hasPrefix("HTTP/1.1 200 ") == true) == offer.isTaken)
        }
    }
}
