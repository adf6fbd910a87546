import RPC
import Testing

@testable import ServiceKit

@Suite("Users of services")
struct PeerSettingsTests {
    private static let callers = PeerSettings.callers(of: "UPLOAD", UploadRPC.names)

    private func peers(_ text: String) throws(ConfigurationError) -> SocketPeers {
        try Configuration(environment: ["OVERSYNC_UPLOAD_CALLERS": text]).value(Self.callers)
    }

    @Test("A list names users, each with what it may call")
    func list() throws {
        #expect(try Configuration(environment: [:]).value(Self.callers) == .ownUser)
        #expect(try peers("1001") == SocketPeers([1001: .ordinary]))
        let all = try peers("1001=*  1002=NoteHydration,ShowUser 0")
        #expect(
            all
                == SocketPeers([
                    1001: .all, 0: .ordinary,
                    1002: .only([UploadRPC.noteHydration.name, UploadRPC.showUser.name]),
                ]))
    }

    @Test(
        "What is no such list is refused, with what is wrong",
        arguments: [
            (" ", "lists no user"), ("gateway", "where the number of a user must stand"),
            ("-1", "where the number"), ("4294967295", "where the number"),
            ("1=", #"names """#), ("1=Nothing", #"names "Nothing""#),
            ("1=IssueToken", #"names "IssueToken""#), ("1=*,ShowUser,", #"names """#),
            ("1 1=*", "lists user 1 twice"),
        ])
    func bad(text: String, reason: String) {
        let error = #expect(throws: ConfigurationError.self) { try peers(text) }
        #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }

    @Test("A service that is not named runs as the own user")
    func users() throws {
        func users(_ text: String) throws(ConfigurationError) -> ServiceUsers {
            try Configuration(environment: ["OVERSYNC_SERVICE_USERS": text])
                .value(PeerSettings.serviceUsers)
        }
        let two = try users("auth=7 upload=8,9")
        #expect(two.peers(of: "auth") == SocketPeers([7: .all]))
        #expect(two.peers(of: "upload") == SocketPeers([8: .all, 9: .all]))
        #expect(two.peers(of: "download") == .ownUser)
        for bad in ["gateway=1", "auth", "auth=", "auth=x", "auth=1 auth=2", "auth=1,"] {
            #expect(throws: ConfigurationError.self) { try users(bad) }
        }
    }
}
