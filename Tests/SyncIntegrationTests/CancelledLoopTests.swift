import Foundation
import Logging
import NIOCore
import Postgres
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar
import SigningKeys
import Synchronization
import Telemetry
import Testing

@testable import AuthService
@testable import DownloadService
@testable import UploadService

/// A component that goes on when it is cancelled keeps its process from ending, at full speed.
struct CancelledLoopTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    /// Far more than any of them takes, on a machine with much else to do.
    private static let patience: Duration = .seconds(30)

    /// The components that run for as long as a service does, on a database that is not there.
    private static func components() throws -> [(name: String, service: any Service)] {
        let folder = "/tmp/oversync-loops-\(UInt32.random(in: 0 ... .max))"
        let pool = PostgresPool(
            try PostgresConfiguration(url: "postgresql:///nowhere?host=\(folder)"),
            pool: try PoolConfiguration(acquireTimeout: .milliseconds(200)), logger: logger)
        let client = RPCClient(directory: folder, service: "download", logger: logger)
        let store = KeyStore(
            KeySeals(current: String(repeating: "m", count: 32)),
            by: .service("oversync-auth", on: "t"))
        return [
            ("catalog", CatalogSource(pool: pool, logger: logger)),
            ("keys", KeyRing(pool: pool, store: store, logger: logger)),
            ("heads", ScopeHeads(pool: pool, logger: logger)),
            ("announcer", HeadAnnouncer(download: client, metrics: MetricsRegistry())),
            ("client", client),
            (
                "server",
                RPCServer(directory: folder, replica: "1", router: RPCRouter(), logger: logger)
            ),
            ("pool", pool),
            (
                "standbys",
                Standbys(
                    [.init(name: "none", pool: pool, connections: 1, connection: pool)],
                    primary: pool, logger: logger)
            ),
        ]
    }

    @Test func `no loop of a service survives cancellation`() async throws {
        for (name, service) in try Self.components() {
            let end = End()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // Some say that they were cancelled, others just end.
                    try? await service.run()
                    end.hasCome.store(true, ordering: .releasing)
                }
                group.cancelAll()
                let deadline = ContinuousClock.now + Self.patience
                while !end.hasCome.load(ordering: .acquiring) {
                    guard ContinuousClock.now < deadline else {
                        // Nothing can be waited for after this: the loop holds the test up for good.
                        fatalError("\(name) goes on after it was cancelled")
                    }
                    // Between looks only; what passes is the condition, not the time.
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
        }
    }
}

private final class End: Sendable {
    let hasCome = Atomic(false)
}
