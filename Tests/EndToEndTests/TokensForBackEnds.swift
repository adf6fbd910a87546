import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Testing

/// A back end gets tokens over HTTPS, and devices sync with them.
@Suite("Tokens for back ends", .timeLimit(.minutes(5)))
struct TokensForBackEnds {
    @Test("A client that oversync clients makes gets what its file grants, as long as it is there")
    func tokens() async throws {
        let (lines, secret) = try await Self.newClient()
        try await withStack(Self.plan) { stack in
            try await stack.withClient { client in
                let device = try await WireDevice(stack, client, user: "x", device: "y")
                func ask(_ secret: String, _ fields: String) async throws -> WireDevice.Answer {
                    try await Self.ask(stack, client, secret, fields)
                }
                // No client is known yet.
                #expect(try await ask(secret, "user=customer-7&device=web").status == 401)
                try Self.write("clients:\n" + lines, stack)
                try await eventually("the file is read") {
                    try await ask(secret, "user=customer-7&device=web").status == 200
                }
                let answer = try await ask(secret, "user=customer-7&device=web&scope=editor")
                #expect(answer.status == 200, "\(answer.text)")
                #expect(try answer.value("token_type") == "Bearer")
                #expect(try answer.value("expires_in") == "600")
                #expect(try answer.value("scope") == "editor")
                let token = try answer.value("access_token")
                #expect(try await device.send(.GET, "/sync/bootstrap", token: token).status == 200)
                // It is nobody's but that user's, and no administrator's.
                #expect(
                    try await device.send(.GET, "/admin/materialize-failures", token: token).status
                        == 403)
                for (fields, code) in [
                    ("user=root&device=web", "unauthorized_client"),
                    ("user=customer-7&device=web&scope=admin", "invalid_scope"),
                ] {
                    let refused = try await ask(secret, fields)
                    #expect(refused.status == 400)
                    #expect(try refused.value("error") == code)
                }
                #expect(try await ask(secret + "x", "user=customer-7&device=web").status == 401)
                // A file that cannot be used changes nothing.
                try Self.write("clients: [{id: shop}]", stack)
                #expect(try await ask(secret, "user=customer-7&device=web").status == 200)
                try Self.write("clients: []", stack)
                try await eventually("the client is removed") {
                    try await ask(secret, "user=customer-7&device=web").status == 401
                }
                try await Self.expectRecorded(stack)
            }
        }
    }

    private static func expectRecorded(_ stack: StackAddress) async throws {
        let (_, text) = try await runProgram(
            "oversync", ["audit", "--action", "token.issue", "--database", stack.database])
        #expect(text.contains("customer-7/web done by shop from 127.0.0.1"))
        #expect(text.contains("root/web refused (unauthorized_client) by shop from 127.0.0.1"))
        // Before the file named the client.
        #expect(text.contains("unknown refused (invalid_client) by unknown from 127.0.0.1"))
        #expect(!text.contains("ovs_"))
        // The clients that came and went; Auth records them when it has read them.
        try await eventually("the clients are recorded") {
            let (_, changes) = try await runProgram(
                "oversync",
                [
                    "audit", "--action", "configuration.change", "--json", "--database",
                    stack.database,
                ], withErrors: false)
            #expect(!changes.contains("secret") && !changes.contains("customer"))
            let found = changes.matches(
                of: /"OVERSYNC_AUTH_CLIENTS shop":\{"from":(null|"\w{16}"),"to":(null|"\w{16}")\}/)
            return found.map { $0.output.1 == "null" ? "came" : "went" } == ["came", "went"]
        }
    }

    private static func plan(_ directory: StackDirectory) -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        let file = directory.secrets + "/clients.yaml"
        plan.environmentOf["auth"] = ["OVERSYNC_AUTH_CLIENTS_FILE": file]
        try? directory.create()
        try? Data("clients: []\n".utf8).write(to: URL(filePath: file))
        return plan
    }

    private static func write(_ text: String, _ stack: StackAddress) throws {
        let folder = URL(filePath: stack.hs256SecretFile).deletingLastPathComponent()
        try Data(text.utf8).write(to: folder.appending(path: "clients.yaml"), options: .atomic)
    }

    /// - Returns: the lines for the file, and the secret.
    private static func newClient() async throws -> (lines: String, secret: String) {
        let arguments = [
            "clients", "new", "shop", "--user", "customer-*", "--role", "editor", "--max-lifetime",
            "600",
        ]
        let (status, text) = try await runProgram("oversync", arguments, environment: [:])
        #expect(status == 0, "\(text)")
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let line = try #require(lines.first { $0.hasPrefix("secret of shop: ovs_") })
        let secret = String(line.dropFirst("secret of shop: ".count))
        let rest = lines.filter { $0 != line }.joined(separator: "\n")
        #expect(!rest.contains(secret))
        return (rest, secret)
    }

    private static func ask(
        _ stack: StackAddress, _ client: HTTPClient, _ secret: String, _ fields: String
    ) async throws -> WireDevice.Answer {
        var request = HTTPClientRequest(url: stack.gateway + "/auth/token")
        request.method = .POST
        let basic = Data("shop:\(secret)".utf8).base64EncodedString()
        request.headers.add(name: "authorization", value: "Basic \(basic)")
        request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
        request.body = .bytes(
            ByteBuffer(string: "grant_type=client_credentials&\(fields)"))
        let response = try await client.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 20)
        return WireDevice.Answer(
            status: Int(response.status.code), headers: [:], text: String(buffer: body))
    }
}
