import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Protos
import RPC
import SwiftProtobuf
import Synchronization
import Testing

@testable import Gateway

/// `POST /auth/token`, with a stand-in for Auth.
@Suite(.timeLimit(.minutes(1)))
struct TokenRouteTests {
    /// Takes the secret `good`, and keeps what it was asked.
    final class Auth: Sendable {
        private let state = Mutex<[(request: IssueClientTokenRequest, address: String?)]>([])
        var asked: [IssueClientTokenRequest] { state.withLock { $0.map(\.request) } }
        var addresses: [String?] { state.withLock { $0.map(\.address) } }

        var router: RPCRouter {
            var router = RPCRouter()
            router.on(AuthRPC.issueClientToken) { [self] request, _, context in
                state.withLock { $0.append((request, context.clientAddress)) }
                guard request.clientSecret.hasPrefix("good") else {
                    throw RPCFailure(.unauthenticated, code: "invalid_client", message: "no")
                }
                guard request.user != "forbidden" else {
                    throw RPCFailure(
                        .invalidArgument, code: "unauthorized_client", message: "not this user")
                }
                return RPCReply(.with { ($0.token, $0.expiresIn) = ("t", 60) })
            }
            return router
        }
    }

    private static let rest = "grant_type=client_credentials&user=u&device=d"
    private static let inForm = "client_id=shop&client_secret=good"

    private func post(
        _ gateway: RunningGateway, _ form: String, basic: String? = nil,
        type: String? = "application/x-www-form-urlencoded"
    ) async throws -> RunningGateway.Answer {
        var headers = HTTPHeaders()
        if let type { headers.add(name: "Content-Type", value: type) }
        if let basic {
            let text = Data(basic.utf8).base64EncodedString()
            headers.add(name: "Authorization", value: "Basic \(text)")
        }
        return try await gateway.send(
            .POST, "/auth/token", headers: headers, body: .bytes(ByteBuffer(string: form)))
    }

    @Test func `credentials come in the form or by Basic, and the answer is that of RFC 6749`()
        async throws
    {
        let auth = Auth()
        try await withGateway(upstreams: ["auth": auth.router]) { gateway in
            let form = "\(Self.rest)&\(Self.inForm)"
            for answer in [
                try await post(gateway, form),
                try await post(gateway, Self.rest, basic: "shop:good"),
                try await post(gateway, "\(Self.rest)&client_id=shop", basic: "shop:good"),
                try await post(
                    gateway, form, type: "Application/X-WWW-Form-Urlencoded; charset=UTF-8"),
            ] {
                #expect(answer.status == 200)
                #expect(
                    answer.body
                        == #"{"access_token":"t","token_type":"Bearer","expires_in":60}"# + "\n")
                #expect(answer.headers["Cache-Control"] == ["no-store"])
            }
            #expect(auth.addresses == Array(repeating: "127.0.0.1", count: 4))
            for request in auth.asked {
                #expect(request.clientID == "shop" && request.clientSecret == "good")
                #expect(request.user == "u" && request.device == "d")
                #expect(request.roles.isEmpty && request.lifetimeSeconds == 0)
            }
        }
    }

    @Test func `a form over the limit is 413, and is told what a form needs`() async throws {
        try await withGateway(upstreams: ["auth": Auth().router]) { gateway in
            let long = "\(Self.rest)&x=\(String(repeating: "a", count: 5000))"
            let answer = try await post(gateway, long)
            #expect(answer.status == 413)
            let message = try #require(answer.text("message"))
            #expect(message.contains("fields of a token request"), "\(message)")
            #expect(!message.contains("changes"), "\(message)")
        }
    }

    @Test func `names with any characters, roles and a lifetime reach Auth as they were meant`()
        async throws
    {
        let auth = Auth()
        try await withGateway(upstreams: ["auth": auth.router]) { gateway in
            let answer = try await post(
                gateway,
                "grant_type=client_credentials&user=J%C3%BCrgen+%26+co%3D1&device=a%2Bb%25"
                    + "&scope=editor+admin++editor&lifetime=30&unknown=1&empty=",
                basic: "shop%3A1:good%3a%20x")
            #expect(answer.status == 200)
            #expect(answer.text("scope") == "editor admin")
            let request = try #require(auth.asked.first)
            #expect(request.user == "Jürgen & co=1" && request.device == "a+b%")
            #expect(request.roles == ["editor", "admin"] && request.lifetimeSeconds == 30)
            #expect(request.clientID == "shop:1" && request.clientSecret == "good: x")
        }
    }

    @Test(arguments: [
        ("user=u&device=d&\(inForm)", "invalid_request"),
        ("grant_type=password&user=u&device=d&\(inForm)", "unsupported_grant_type"),
        ("grant_type=client_credentials&device=d&\(inForm)", "invalid_request"),
        ("grant_type=client_credentials&user=u&\(inForm)", "invalid_request"),
        ("grant_type=client_credentials&user=&device=d&\(inForm)", "invalid_request"),
        ("\(rest)&user=v&\(inForm)", "invalid_request"),
        ("\(rest)&\(inForm)&lifetime=soon", "invalid_request"),
        ("\(rest)&\(inForm)&lifetime=0", "invalid_request"),
        ("\(rest)&\(inForm)&lifetime=99999999999", "invalid_request"),
        ("\(rest)&\(inForm)&scope=%", "invalid_request"),
        ("\(rest)&\(inForm)&scope=%ZZ", "invalid_request"),
        ("\(rest)&\(inForm)&scope=%FF", "invalid_request"),
        ("grant_type=client_credentials&user=forbidden&device=d&\(inForm)", "unauthorized_client"),
        ("{}", "invalid_request"), ("", "invalid_request"),
    ])
    func `what is wrong with a form is 400 with a code of RFC 6749`(
        form: String, code: String
    ) async throws {
        try await withGateway(upstreams: ["auth": Auth().router]) { gateway in
            let answer = try await post(gateway, form)
            #expect(answer.status == 400)
            #expect(answer.text("error") == code)
            #expect(answer.text("error_description") == answer.text("message"))
            #expect(answer.text("request_id")?.isEmpty == false)
        }
    }

    @Test func `credentials that are wrong, missing or given twice are told apart`() async throws {
        try await withGateway(upstreams: ["auth": Auth().router]) { gateway in
            for answer in [
                try await post(gateway, "\(Self.rest)&client_id=shop&client_secret=bad"),
                try await post(gateway, "\(Self.rest)&client_id=shop"),
                try await post(gateway, Self.rest),
                try await post(gateway, Self.rest, basic: "shop"),
                try await post(gateway, Self.rest, basic: "shop:%"),
                try await gateway.send(
                    .POST, "/auth/token",
                    headers: [
                        "Content-Type": "application/x-www-form-urlencoded",
                        "Authorization": "Bearer x",
                    ], body: .bytes(ByteBuffer(string: Self.rest))),
            ] {
                #expect(answer.status == 401)
                #expect(answer.text("error") == "invalid_client")
                #expect(
                    answer.headers["WWW-Authenticate"]
                        == [#"Basic realm="oversync", charset="UTF-8""#])
            }
            for answer in [
                try await post(gateway, "\(Self.rest)&\(Self.inForm)", basic: "shop:good"),
                try await post(gateway, "\(Self.rest)&client_id=other", basic: "shop:good"),
                try await post(gateway, "\(Self.rest)&\(Self.inForm)", type: "application/json"),
                try await post(gateway, "\(Self.rest)&\(Self.inForm)", type: nil),
            ] {
                #expect(answer.status == 400)
                #expect(answer.text("error") == "invalid_request")
            }
        }
    }

    @Test func `an address that guesses is stopped, and good credentials cost it nothing`()
        async throws
    {
        let auth = Auth()
        try await withGateway(
            ["OVERSYNC_RATE_REJECTED_TOKENS": "1"], upstreams: ["auth": auth.router]
        ) { gateway in
            for _ in 0..<20 {
                #expect(try await post(gateway, "\(Self.rest)&\(Self.inForm)").status == 200)
            }
            var statuses: [Int] = []
            for _ in 0..<12 {
                statuses.append(
                    try await post(gateway, "\(Self.rest)&client_id=shop&client_secret=bad")
                        .status)
            }
            #expect(Array(statuses.prefix(4)) == [401, 401, 401, 401])
            #expect(statuses.last == 429)
            // Unverified bearer tokens and missing credentials share the allowance.
            #expect(try await post(gateway, Self.rest).status == 429)
            #expect(gateway.refusals("too_many_rejections") > 0)
        }
    }

    @Test func `without Auth, or with one of the version before, it is 503`() async throws {
        try await withGateway(upstreams: ["auth": RPCRouter()]) { gateway in
            let answer = try await post(gateway, "\(Self.rest)&\(Self.inForm)")
            #expect(answer.status == 503)
            #expect(answer.headers.first(name: "Retry-After") != nil)
        }
        try await withGateway(["OVERSYNC_REQUEST_TIMEOUT_SECONDS": "1"]) { gateway in
            let answer = try await post(gateway, "\(Self.rest)&\(Self.inForm)")
            #expect(answer.status == 503)
        }
    }
}
