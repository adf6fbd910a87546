import AsyncHTTPClient
import Demo
import DevStack
import Foundation
import GRDB
import LocalPostgres
import Logging
import NIOCore
import NIOHTTP1
import OperatorKit
import OverSQLite
import Testing
import Tokens

/// Runs a test against a stack of its own: PostgreSQL, every service as a process, HTTPS.
///
/// - Parameter plan: what to run in a folder; by default the demonstration's tables, with two Download replicas.
func withStack(
    _ plan: (StackDirectory) -> Stack.Plan = demonstrationPlan,
    _ body: @escaping @Sendable (StackAddress) async throws -> Void
) async throws {
    try await withStack(plan) { stack, _ in try await body(stack) }
}

/// The same, for tests that stop or kill its PostgreSQL.
func withStack(
    _ plan: (StackDirectory) -> Stack.Plan = demonstrationPlan,
    _ body: @escaping @Sendable (StackAddress, LocalPostgres) async throws -> Void
) async throws {
    try await withStarted(plan) { stack in try await body(stack.address, stack.postgres) }
}

/// The same, for tests that start another stack next to it.
func withStarted(
    _ plan: (StackDirectory) -> Stack.Plan,
    _ body: @escaping @Sendable (Stack) async throws -> Void
) async throws {
    let folder =
        FileManager.default.temporaryDirectory.path + "/oversync-e2e-" + UUID().uuidString.prefix(8)
    let plan = plan(StackDirectory(folder))
    var logger = Logger(label: "stack")
    logger.logLevel = .error
    let stack = try await Stack(plan, logger: logger)
    let outcome: Result<Void, any Error>
    do {
        outcome = .success(try await stack.run(logger: logger) { _ in try await body(stack) })
    } catch {
        let log = (try? String(contentsOfFile: plan.directory.log, encoding: .utf8)) ?? ""
        print("the stack's log:\n\(log.suffix(8000))")
        outcome = .failure(error)
    }
    if plan.companion == nil { try await stack.postgres.destroy() }
    try? FileManager.default.removeItem(atPath: folder)
    try outcome.get()
}

func demonstrationPlan(in directory: StackDirectory) -> Stack.Plan {
    plan(in: directory, DemoTables.registrations, DemoTables.businessSchema)
}

/// - Parameters:
///   - registrations: text of `oversync.yaml`.
///   - schema: SQL that makes the business tables.
func plan(
    in directory: StackDirectory, _ registrations: String, _ schema: String
) -> Stack.Plan {
    var plan = Stack.Plan(
        directory: directory, registrations: registrations, businessSchema: schema)
    plan.port = 0
    plan.downloadReplicas = 2
    // These tests kill processes, not the machine: what PostgreSQL has written survives that.
    plan.postgresSettings = ["fsync": "off"]
    return plan
}

extension StackAddress {
    /// A token that the stack's gateway takes.
    func token(user: String, device: String, roles: [String] = []) async throws -> String {
        let secret = try String(contentsOfFile: hs256SecretFile, encoding: .utf8)
        let claims = DeviceClaims(
            user: user, device: device, roles: roles, issuer: "oversync", audience: "oversync",
            now: Int(Date().timeIntervalSince1970), lifetime: 600)
        return try await TokenMint(hs256: secret).sign(claims)
    }
}

/// One device that speaks the wire protocol by hand.
struct WireDevice: Sendable {
    let stack: StackAddress
    let client: HTTPClient
    let token: String
    /// Where it finds the gateway.
    let gateway: String

    /// - Parameter proxy: what stands before the gateway, if anything does.
    init(
        _ stack: StackAddress, _ client: HTTPClient, user: String, device: String,
        through proxy: String? = nil
    ) async throws {
        self.stack = stack
        gateway = proxy ?? stack.gateway
        self.client = client
        token = try await stack.token(user: user, device: device)
    }

    struct Answer: Sendable {
        let status: Int
        let headers: [String: String]
        let text: String

        /// The value at a path of keys and indexes.
        func value(_ path: any Sendable...) throws -> String {
            var value = try JSONSerialization.jsonObject(with: Data(text.utf8)) as Any
            for step in path {
                switch (step, value) {
                case (let key as String, let object as [String: Any]):
                    value = object[key] ?? "absent"
                case (let index as Int, let array as [Any]) where index < array.count:
                    value = array[index]
                default: return "absent"
                }
            }
            return "\(value)"
        }
    }

    func upload(_ changes: String, atomic: Bool = false) async throws -> Answer {
        try await send(
            .POST, "/sync/upload" + (atomic ? "?atomic=true" : ""),
            body: #"{"changes":[\#(changes)]}"#)
    }

    func download(_ query: String) async throws -> Answer {
        try await send(.GET, "/sync/download?" + query)
    }

    func send(_ method: HTTPMethod, _ path: String, body: String? = nil, token other: String? = nil)
        async throws -> Answer
    {
        var request = HTTPClientRequest(url: gateway + path)
        request.method = method
        request.headers.add(name: "authorization", value: "Bearer \(other ?? token)")
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 32 << 20)
        var headers: [String: String] = [:]
        for (name, value) in response.headers { headers[name.lowercased()] = value }
        return Answer(
            status: Int(response.status.code), headers: headers, text: String(buffer: bytes))
    }
}

extension StackAddress {
    /// The engine of ann's device with a table of users, which is made in `database`.
    func engineOfUsers(
        for database: any DatabaseWriter, device: String, _ transport: any HTTPTransport
    ) async throws -> SyncEngine {
        try await database.write { db in
            try db.execute(sql: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT)")
        }
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: gateway)), schema: "business")
        configuration.transport = transport
        let token = try await token(user: "ann", device: device)
        return try SyncEngine(
            for: database, tables: [SyncTable("users")], configuration: configuration,
            credentials: { token })
    }
}
