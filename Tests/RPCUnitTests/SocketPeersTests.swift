import Testing

@testable import RPC

/// What the users of a socket may call.
struct SocketPeersTests {
    @Test("A caller that is listed alone asks for no token, neither for anybody nor for a client")
    func ordinary() {
        let peers = SocketPeers([1: .ordinary, 2: .only([AuthRPC.issueClientToken.name])])
        #expect(peers.admits(1, calling: AuthRPC.getKeys.name))
        for method in [AuthRPC.issueToken.name, AuthRPC.issueClientToken.name] {
            #expect(!peers.admits(1, calling: method))
        }
        #expect(peers.admits(2, calling: AuthRPC.issueClientToken.name))
        #expect(!peers.admits(2, calling: AuthRPC.getKeys.name))
    }
}
