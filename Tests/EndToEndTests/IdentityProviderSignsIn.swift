import AsyncHTTPClient
import DevStack
import Foundation
import GRDB
import NIOCore
import NIOHTTP1
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Programs
import Testing

@Suite("An identity provider signs in", .timeLimit(.minutes(5)))
struct IdentityProviderSignsIn {
    /// ```
    /// ann's phone   signs in ── writes ── syncs ─────────────────────────────────
    /// ann's laptop  ──────────────────────────── signs in ── syncs, has the row ─
    /// bob           signs in ────────────────────────── names ann's phone: 403 ──
    /// ```
    @Test(
        "Two devices of a user who signs in at a provider that knows no devices sync",
        .enabled(if: IdentityProvider.isInstalled, "Tools/make/identity-provider.sh has not run"))
    func sync() async throws {
        try await IdentityProvider.run { provider in
            let issuers = """
                {name: provider, issuer: "\(provider.address)",
                 jwks_url: "\(provider.address)/jwks",
                 audience: \(IdentityProvider.client), algorithms: RS256, user_prefix: "mock:",
                 device_header: true}
                """
            try await withStack { directory in
                var plan = demonstrationPlan(in: directory)
                plan.environmentOf["gateway"] = ["OVERSYNC_ISSUERS": issuers]
                return plan
            } _: { (stack: StackAddress) in
                let token = try await provider.signIn("ann")
                let phone = try await SignedInDevice(stack, token)
                let laptop = try await SignedInDevice(stack, token)
                try await phone.database.write { db in
                    try db.execute(
                        sql: "INSERT INTO users VALUES (?, 'Ann')",
                        arguments: [UUID().uuidString])
                }
                try await phone.engine.syncChanges()
                try await laptop.engine.syncChanges()
                let names = try await laptop.database.read { db in
                    try String.fetchAll(db, sql: "SELECT name FROM users")
                }
                #expect(names == ["Ann"])
                let device = try await phone.engine.deviceID
                let others = try await laptop.engine.deviceID
                #expect(device != others)

                try await Self.compare(provider, stack, ownedByAnn: device)
                for each in [phone, laptop] { try await each.transport.shutdown() }
            }
        }
    }

    /// What another user of the provider, and one of the installation's own, get to see.
    private static func compare(
        _ provider: IdentityProvider, _ stack: StackAddress, ownedByAnn device: String
    ) async throws {
        try await stack.withClient { client in
            func ask(_ token: String, _ device: String?) async throws -> (UInt, String) {
                var request = HTTPClientRequest(url: stack.gateway + "/sync/bootstrap")
                request.headers.add(name: "Authorization", value: "Bearer " + token)
                if let device { request.headers.add(name: "Oversync-Device", value: device) }
                let response = try await client.execute(request, timeout: .seconds(30))
                let body = String(buffer: try await response.body.collect(upTo: 1 << 20))
                return (response.status.code, body)
            }
            let bob = try await provider.signIn("bob")
            #expect(try await ask(bob, "bobs-phone").0 == 200)
            let (status, body) = try await ask(bob, device)
            #expect(status == 403 && body.contains("device_taken"))
            #expect(try await ask(bob, nil).0 == 400)
            // The provider's ann has a prefix: she is not the ann of other tokens.
            let own = try await stack.token(user: "ann", device: "desk")
            let (_, standing) = try await ask(own, nil)
            #expect(standing.contains(#""highest_server_seq":0"#), "\(standing)")
        }
    }
}

/// An app's device with a table of users, and the token of a provider.
private struct SignedInDevice {
    let database: DatabaseQueue
    let engine: SyncEngine
    let transport: AsyncHTTPTransport

    init(_ stack: StackAddress, _ token: String) async throws {
        database = try DatabaseQueue()
        try await database.write { db in
            try db.execute(sql: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT)")
        }
        let url = try #require(URL(string: stack.gateway))
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        transport = try AsyncHTTPTransport(trusting: stack.authority)
        configuration.transport = transport
        engine = try SyncEngine(
            for: database, tables: [SyncTable("users")], configuration: configuration,
            credentials: { token })
    }
}

/// A real identity provider, which `Tools/make/identity-provider.sh` installs from PyPI.
private struct IdentityProvider {
    static let client = "notes-app"
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../.build/identity-provider").standardizedFileURL
    private static let program = folder.appending(path: "bin/oidc-provider-mock").path

    static var isInstalled: Bool {
        FileManager.default.fileExists(atPath: folder.appending(path: "installed").path)
    }

    let address: String

    static func run(_ body: (IdentityProvider) async throws -> Void) async throws {
        let port = try FreePort.find()
        let running = try await RunningProgram(Program(program, ["--port", "\(port)"]))
        defer { running.send(SIGTERM) }
        let provider = IdentityProvider(address: "http://127.0.0.1:\(port)")
        try await eventually("the identity provider answers") {
            try #require(running.isRunning)
            return (try? await provider.answer("/jwks"))?.status == .ok
        }
        try await body(provider)
    }

    /// What an app does with a browser: the code flow, and the ID token that comes of it.
    func signIn(_ user: String) async throws -> String {
        let back = "http://localhost/back"
        let query = "client_id=\(Self.client)&redirect_uri=\(back)&response_type=code&scope=openid"
        let chosen = try await answer("/oauth2/authorize?" + query, form: "sub=" + user)
        let location = try #require(chosen.headers.first(name: "Location"))
        let items = URLComponents(string: location)?.queryItems ?? []
        let code = try #require(items.first { $0.name == "code" }?.value)
        let exchange = "grant_type=authorization_code&code=\(code)&redirect_uri=\(back)"
        let answer = try await answer("/oauth2/token", form: exchange)
        struct Tokens: Decodable { let id_token: String }
        let body = try await answer.body.collect(upTo: 1 << 20)
        return try JSONDecoder().decode(Tokens.self, from: Data(body.readableBytesView)).id_token
    }

    private func answer(
        _ path: String, form: String? = nil
    ) async throws -> HTTPClientResponse {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
            var request = HTTPClientRequest(url: address + path)
            if let form {
                request.method = .POST
                request.headers = [
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Authorization": "Basic "
                        + Data("\(Self.client):secret".utf8)
                        .base64EncodedString(),
                ]
                request.body = .bytes(Array(form.utf8))
            }
            var response = try await client.execute(request, timeout: .seconds(20))
            // Read here: the client ends.
            let body = try await response.body.collect(upTo: 1 << 20)
            response.body = .bytes(body)
            return response
        }
    }
}
