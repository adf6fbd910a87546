import NIOCore
import Testing

@testable import Gateway

/// How an address is shown: as far as limits tell it apart.
struct PeerAddressTests {
    @Test(arguments: [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:7::1", "2001:db8:0:7::/64"), ("::1", "0:0:0:0::/64"),
    ])
    func `an address is shown as far as it counts`(address: String, shown: String) throws {
        let socket = try SocketAddress(ipAddress: address, port: 1)
        #expect(PeerAddress(socket).description == shown)
    }

    @Test func `a client that has gone has no address`() {
        #expect(PeerAddress(nil).description == "unknown")
    }
}
