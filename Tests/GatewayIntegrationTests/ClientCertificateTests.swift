import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import ServiceKit
import SwiftProtobuf
import Synchronization
import Testing
import X509

@testable import Gateway

/// Back ends and administrators that show certificates, over TLS.
@Suite("Client certificates", .timeLimit(.minutes(1))) struct ClientCertificateTests {
    /// Stands for Auth: takes the names that it hears.
    private final class Auth: Sendable {
        private let state = Mutex<[IssueClientTokenRequest]>([])
        var asked: [IssueClientTokenRequest] { state.withLock { $0 } }

        var router: RPCRouter {
            var router = RPCRouter()
            router.on(AuthRPC.issueClientToken) { [self] request, _, _ in
                state.withLock { $0.append(request) }
                guard request.clientSecret.isEmpty,
                    request.certificateNames.contains("dns:jobs.example.org")
                else {
                    throw RPCFailure(.unauthenticated, code: "invalid_client", message: "no")
                }
                return RPCReply(.with { ($0.token, $0.expiresIn) = ("t", 60) })
            }
            return router
        }
    }

    private static func subject() throws -> DistinguishedName {
        try DistinguishedName {
            OrganizationName("Example")
            CommonName("jobs")
        }
    }

    private static let names: [GeneralName] = [
        .dnsName("jobs.example.org"), .uniformResourceIdentifier("spiffe://example.org/jobs"),
        .rfc822Name("jobs@example.org"),
    ]

    private static func post(
        _ gateway: RunningGateway, _ client: HTTPClient,
        _ fields: String = "client_id=jobs"
    ) async throws -> RunningGateway.Answer {
        try await gateway.send(
            .POST, "/auth/token",
            headers: ["Content-Type": "application/x-www-form-urlencoded"],
            body: .bytes(
                ByteBuffer(
                    string: "grant_type=client_credentials&user=u&device=d&\(fields)")),
            client: client)
    }

    @Test("Auth is told the names of a certificate that was verified; devices go on without one")
    func names() async throws {
        try await withFolder { folder in
            let authority = try TestAuthority("ours", in: folder)
            let identity = try authority.identity(try Self.subject(), Self.names)
            let auth = Auth()
            try await withGateway(
                ["OVERSYNC_CLIENT_CA": authority.path], upstreams: ["auth": auth.router]
            ) { gateway in
                for isHTTP2 in [true, false] {
                    try await gateway.withClient(showing: identity, isHTTP2: isHTTP2) { client in
                        let answer = try await Self.post(gateway, client)
                        #expect(answer.status == 200)
                        #expect(answer.version.major == (isHTTP2 ? 2 : 1))
                        // A secret next to it is what counts.
                        let fields = "client_id=jobs&client_secret=wrong"
                        #expect(try await Self.post(gateway, client, fields).status == 401)
                        #expect(try await Self.post(gateway, client, "x=y").status == 401)
                    }
                }
                #expect(
                    auth.asked.first?.certificateNames == [
                        "subject:CN=jobs,O=Example", "dns:jobs.example.org",
                        "uri:spiffe://example.org/jobs",
                    ])
                #expect(auth.asked.map(\.clientSecret) == ["", "wrong", "", "wrong"])
                try await gateway.withClient(showing: nil) { client in
                    let healthy = try await gateway.send(.GET, "/health", client: client)
                    #expect(healthy.status == 200)
                    // No client without a certificate can claim to have one.
                    let fields = "client_id=jobs&certificate_names=dns:jobs.example.org"
                    #expect(try await Self.post(gateway, client, fields).status == 401)
                }
                #expect(auth.asked.count == 4, "nobody else was asked")
            }
        }
    }

    @Test("A certificate that nobody trusts, is over or is a server's makes no connection")
    func bad() async throws {
        try await withFolder { folder in
            let ours = try TestAuthority("ours", in: folder)
            let others = try TestAuthority("others", in: folder)
            let (subject, names) = (try Self.subject(), Self.names)
            let bad = [
                try others.identity(subject, names),
                try ours.identity(subject, names, lifetime: -60),
                try ours.identity(subject, names, age: -60),
                try ours.identity(subject, names, usage: .serverAuth),
            ]
            try await withGateway(
                ["OVERSYNC_CLIENT_CA": ours.path], upstreams: ["auth": Auth().router]
            ) { gateway in
                for identity in bad {
                    try await gateway.withClient(showing: identity) { client in
                        await #expect(throws: (any Error).self) {
                            try await gateway.send(.GET, "/health", client: client)
                        }
                    }
                }
                #expect(try await gateway.send(.GET, "/health").status == 200)
            }
            // Without the setting a certificate is not asked for, and says nothing.
            let good = try ours.identity(subject, names)
            try await withGateway(upstreams: ["auth": Auth().router]) { gateway in
                try await gateway.withClient(showing: good) { client in
                    let healthy = try await gateway.send(.GET, "/health", client: client)
                    #expect(healthy.status == 200)
                    #expect(try await Self.post(gateway, client).status == 401)
                }
            }
        }
    }

    @Test("A certificate says nothing before its time, and nothing after it")
    func times() async throws {
        try await withFolder { folder in
            let authority = try TestAuthority("ours", in: folder)
            let shown = try authority.identity(try Self.subject(), age: 60, lifetime: 60)
                .certificate
            let now = Date()
            #expect(ClientCertificate(shown, now: now)?.names == ["subject:CN=jobs,O=Example"])
            for away in [-120.0, 120] {
                #expect(ClientCertificate(shown, now: now.addingTimeInterval(away)) == nil)
            }
        }
    }

    @Test("The administrators' port takes no connection without one, and still asks for a token")
    func administrators() async throws {
        try await withFolder { folder in
            let authority = try TestAuthority("ours", in: folder)
            let others = try TestAuthority("others", in: folder)
            let settings = [
                "OVERSYNC_GATEWAY_ADMIN_PORT": "0",
                "OVERSYNC_GATEWAY_ADMIN_CLIENT_CA": authority.path,
            ]
            var upload = RPCRouter()
            upload.on(UploadRPC.listDevices) { _, _, _ in RPCReply(ListDevicesReply()) }
            try await withGateway(settings, upstreams: ["upload": upload]) { gateway in
                let door = try #require(gateway.adminPort)
                for identity in [nil, try others.identity(try Self.subject())] {
                    try await gateway.withClient(showing: identity) { client in
                        await #expect(throws: (any Error).self) {
                            try await gateway.send(.GET, "/health", client: client, at: door)
                        }
                        // Devices are not asked.
                        let status = try await gateway.send(.GET, "/health", client: client).status
                        #expect(status == 200)
                    }
                }
                let good = try authority.identity(try Self.subject())
                try await gateway.withClient(showing: good) { client in
                    var found: [Int] = []
                    for roles in [nil, [], ["admin"]] as [[String]?] {
                        var headers = HTTPHeaders()
                        if let roles {
                            let token = try await RunningGateway.token(roles: roles)
                            headers.add(name: "Authorization", value: "Bearer \(token)")
                        }
                        found.append(
                            try await gateway.send(
                                .GET, "/admin/devices", headers: headers, client: client, at: door
                            ).status)
                    }
                    #expect(found == [401, 403, 200])
                }
            }
        }
    }

    @Test("Another list of authorities is taken up, and one that cannot be read is not")
    func reload() async throws {
        try await withFolder { folder in
            let ours = try TestAuthority("ours", in: folder)
            let others = try TestAuthority("others", in: folder)
            let server = try TestCertificate(in: folder)
            let files = TLSIdentity.Files(
                certificate: server.certificate, key: server.key, clients: ours.path)
            let identity = try TLSIdentity(files)
            #expect(try identity.reload() == false)
            let before = try identity.context(for: .devices)
            try String(contentsOfFile: others.path, encoding: .utf8)
                .write(toFile: ours.path, atomically: true, encoding: .utf8)
            #expect(try identity.reload() == true)
            let after = try identity.context(for: .devices)
            #expect(before !== after)
            try "nothing".write(toFile: ours.path, atomically: true, encoding: .utf8)
            #expect(throws: ConfigurationError.self) { try identity.reload() }
            #expect(try identity.context(for: .devices) === after)
            #expect(TLSIdentity.problems(files).map(\.key) == ["OVERSYNC_CLIENT_CA"])
        }
    }
}
