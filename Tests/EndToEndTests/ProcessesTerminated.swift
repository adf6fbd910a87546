import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import OperatorKit
import Postgres
import Testing

/// Each kind of request that is open when SIGTERM comes.
@Suite("Processes terminated", .timeLimit(.minutes(3)))
struct ProcessesTerminated {
    /// What a test's stack offers it.
    private struct Scene: Sendable {
        let stack: StackAddress
        let client: HTTPClient
        let device: WireDevice
        let gateway: StackMetrics
        let download: StackMetrics

        func requestsInFlight(are count: Int) async throws {
            try await eventually("\(count) requests in flight") {
                try await gateway.value(of: "oversync_gateway_requests_in_flight", client) == count
            }
        }

        func pollWaits() async throws {
            try await eventually("the poll waits for news") {
                try await download.value(of: "oversync_download_waiting", client) == 1
            }
        }

        /// Waits until the gateway refuses new requests, as it goes down.
        func gatewayRefuses() async throws {
            try await eventually("the gateway refuses") {
                // A client may give up what it is about to send on a connection that hears its goodbye.
                guard let answer = try? await device.send(.GET, "/sync/schema-version"),
                    answer.status == 503
                else { return false }
                let code = try answer.value("error")
                #expect(code == "draining")
                #expect(answer.headers["retry-after"] == "1")
                return true
            }
        }
    }

    private static func withScene(
        _ body: @escaping @Sendable (Scene) async throws -> Void
    ) async throws {
        let (gateway, download) = (try StackMetrics(), try StackMetrics())
        try await withStack({ directory in
            var plan = demonstrationPlan(in: directory)
            plan.downloadReplicas = 1
            // A lock that a test holds is waited for until the test lets go of it.
            plan.environment = ["OVERSYNC_UPLOAD_ROW_LOCK_TIMEOUT_MS": "20000"]
            plan.environmentOf["gateway"] = gateway.environment
            plan.environmentOf["download"] = download.environment
            return plan
        }) { stack in
            try await stack.withClient { client in
                let device = try await WireDevice(stack, client, user: "ann", device: "phone")
                try await body(
                    Scene(
                        stack: stack, client: client, device: device, gateway: gateway,
                        download: download))
            }
        }
    }

    private static func change(_ id: Int) -> String {
        let key = String(format: "00000000-0000-4000-8000-%012x", id)
        return
            #"{"source_change_id":\#(id),"schema":"business","table":"users","op":"UPDATE","pk":"\#(key)","server_version":0,"payload":{"name":"\#(id)"}}"#
    }

    @Test("connections without a request do not hold up the gateway's end")
    func idleConnections() async throws {
        try await Self.withScene { scene in
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(scene.stack.authority)
            var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
            configuration.httpVersion = .http1Only
            let old = HTTPClient(configuration: configuration)
            for client in [scene.client, old] {
                let health = HTTPClientRequest(url: scene.stack.gateway + "/health")
                let response = try await client.execute(health, timeout: .seconds(10))
                _ = try await response.body.collect(upTo: 1024)
            }
            let gateway = try EndingProcess(terminating: "oversync-gateway", of: scene.stack)
            #expect(try await gateway.ended() < EndingProcess.promptly)
            try await old.shutdown()
        }
    }

    @Test("a long poll gets its empty page when the gateway is terminated, and when Download is")
    func longPoll() async throws {
        try await Self.withScene { scene in
            for service in ["oversync-download", "oversync-gateway"] {
                async let page = scene.device.download("after=0&wait=20")
                // A poll that has not come to Download yet goes to the next one, and waits there.
                try await scene.pollWaits()
                let process = try EndingProcess(terminating: service, of: scene.stack)
                let answer = try await page
                #expect(answer.status == 200, "\(answer.text)")
                #expect(answer.text.hasPrefix(#"{"changes":[],"#), "\(answer.text)")
                #expect(try await process.ended() < EndingProcess.promptly)
                try await process.startedAgain()
                try await scene.stack.waitUntilReady()
            }
        }
    }

    @Test("a body that is still coming is refused at once")
    func slowBody() async throws {
        try await Self.withScene { scene in
            let (parts, part) = AsyncStream<ByteBuffer>.makeStream()
            part.yield(ByteBuffer(string: "{"))
            var request = HTTPClientRequest(url: scene.stack.gateway + "/sync/upload")
            request.method = .POST
            request.headers.add(name: "authorization", value: "Bearer \(scene.device.token)")
            request.body = .stream(parts, length: .known(Int64(1000)))
            async let response = scene.client.execute(request, timeout: .seconds(30))
            try await scene.requestsInFlight(are: 1)
            let gateway = try EndingProcess(terminating: "oversync-gateway", of: scene.stack)
            let answer = try await response
            #expect(answer.status == .serviceUnavailable)
            #expect(answer.headers.first(name: "retry-after") == "1")
            let body = String(buffer: try await answer.body.collect(upTo: 1024))
            #expect(body.contains(#""error":"draining""#))
            part.finish()
            #expect(try await gateway.ended() < EndingProcess.promptly)
        }
    }

    @Test("a watch ends with the word when to come back")
    func watch() async throws {
        try await Self.withScene { scene in
            var request = HTTPClientRequest(url: scene.stack.gateway + "/sync/watch")
            request.headers.add(name: "authorization", value: "Bearer \(scene.device.token)")
            let response = try await scene.client.execute(request, timeout: .seconds(60))
            #expect(response.status == .ok)
            var text = ""
            var gateway: EndingProcess?
            for try await part in response.body {
                text += String(buffer: part)
                if gateway == nil, text.hasPrefix("retry: 1000\n\n") {
                    gateway = try EndingProcess(terminating: "oversync-gateway", of: scene.stack)
                }
            }
            #expect(text.ranges(of: "retry: ").count == 2)
            #expect(text.hasSuffix("\n\n"))
            #expect(try await #require(gateway).ended() < EndingProcess.promptly)
        }
    }

    /// ```
    /// psql     BEGIN, LOCK ──────────────────────────────────── COMMIT
    /// device          upload ══════════════════════════════════════ 200
    /// process                  SIGTERM ─ refuses others ─ SIGTERM ──── ends
    /// ```
    @Test(
        "an upload that has begun is answered", arguments: ["oversync-gateway", "oversync-upload"])
    func uploadInFlight(process name: String) async throws {
        try await Self.withScene { scene in
            try await withConnection(to: scene.stack.database) { psql in
                try await psql.execute(script: "BEGIN; LOCK TABLE business.users IN SHARE MODE")
                async let upload = scene.device.upload(Self.change(1))
                try await withConnection(to: scene.stack.database) { observer in
                    try await eventually("the upload waits for the lock") {
                        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                        let waiting = Command(Statement(name: "waiting", sql: sql))
                        return try await observer.run(waiting).int64(0, 0) == 1
                    }
                }
                let process = try EndingProcess(terminating: name, of: scene.stack)
                if name == "oversync-gateway" {
                    try await scene.gatewayRefuses()
                } else {
                    let socket = scene.stack.sockets + "/upload/1.sock"
                    try await eventually("its socket is gone") {
                        !FileManager.default.fileExists(atPath: socket)
                    }
                }
                // A second signal does not cut it off.
                try #require(kill(process.id, SIGTERM) == 0)
                try #require(kill(process.id, SIGINT) == 0)
                try await psql.execute(script: "COMMIT")
                let answer = try await upload
                let answered = ContinuousClock.now
                #expect(answer.status == 200, "\(answer.text)")
                #expect(try answer.value("statuses", 0, "status") == "applied")
                try await process.ended()
                #expect(ContinuousClock.now - answered < EndingProcess.promptly)
            }
        }
    }

    @Test("a gateway that is restarted is away for less than a second beside its start")
    func outage() async throws {
        try await Self.withScene { scene in
            let gateway = try EndingProcess(terminating: "oversync-gateway", of: scene.stack)
            let signalled = ContinuousClock.now
            try await gateway.startedAgain()
            let started = ContinuousClock.now
            try await eventually("a request is answered again") {
                let answer = try? await scene.device.send(.GET, "/sync/schema-version")
                return answer?.status == 200
            }
            let outage = ContinuousClock.now - signalled
            let start = ContinuousClock.now - started
            print("outage of the gateway's restart: \(outage), of it its start: \(start)")
            #expect(outage - start < EndingProcess.promptly)
        }
    }
}
