import GRDB
import OverSQLite
import Synchronization

/// The devices of one test. They share an app's tables and a gateway.
public final class TestDevices: Sendable {
    private enum State {
        case open([TestDevice])
        case ended
    }

    private let gateway: any TestTransport
    private let tables: [SyncTable]
    private let migrate: @Sendable (any DatabaseWriter) throws -> Void
    private let state = Mutex(State.open([]))

    init(
        _ gateway: any TestTransport, tables: [SyncTable],
        migrate: @escaping @Sendable (any DatabaseWriter) throws -> Void
    ) {
        self.gateway = gateway
        self.tables = tables
        self.migrate = migrate
    }

    /// Makes a device with an empty database that has not synced yet.
    ///
    /// - Parameters:
    ///   - name: the device's name in its token. Each device of a user needs its own.
    ///   - user: the user in the device's token.
    ///   - configure: changes the configuration. It already has the gateway, the device's clock,
    ///     and the schema `business`, which is also an ``InMemoryGateway``'s default.
    /// - Throws: ``TestScopeEnded`` after the end of the test's scope; ``TestDeviceTwice`` if the
    ///   user has a device of this name; what the app's migrations or `SyncEngine`'s initializer
    ///   throw.
    public func add(
        _ name: String, user: String = "user",
        configure: (inout SyncConfiguration) -> Void = { _ in }
    ) throws -> TestDevice {
        let device = try TestDevice(
            name, gateway, tables: tables, user: user, migrate: migrate, configure: configure)
        try state.withLock { state in
            guard case .open(let devices) = state else { throw TestScopeEnded() }
            guard !devices.contains(where: { $0.name == name && $0.user == user }) else {
                throw TestDeviceTwice(name: name, user: user)
            }
            state = .open(devices + [device])
        }
        return device
    }

    /// Ends all devices.
    ///
    /// - Returns: what is left that should not be, as sentences.
    func end() async throws -> [String] {
        let devices = state.withLock { state -> [TestDevice] in
            defer { state = .ended }
            guard case .open(let devices) = state else { return [] }
            return devices
        }
        var findings: [String] = []
        for device in devices { findings += try await device.end() }
        return findings + gateway.unusedPlans
    }
}

/// Thrown if a device is added after the test's scope has ended.
public struct TestScopeEnded: Error, Sendable, Hashable {
    /// Makes the error.
    public init() {}
}

/// Thrown if a device is added under a name that another device of the same user has. The server
/// would not tell the two apart: each would skip the other's changes as its own.
public struct TestDeviceTwice: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name in both tokens.
    public let name: String
    /// The user in both tokens.
    public let user: String

    /// What is wrong and what to do, for the test's report.
    public var description: String {
        "\(user) already has a device named \(name), and the server could not tell them apart: "
            + "give each device its own name"
    }
}

/// What a test left behind that it should not. Thrown at the end of the test's scope, so that the
/// test fails.
public struct TestLeftovers: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence each: about a device with rows that the server has not confirmed, or a plan
    /// that no request has met.
    public let findings: [String]

    /// All findings, for the test's report.
    public var description: String {
        "the test ended, but " + findings.joined(separator: "; ")
    }
}

/// Runs a test with devices.
///
/// The test fails if it leaves changes pending or rejected: it would pass without ever having sent
/// them. It also fails if a planned fault or rejection was never met: it would pass without the
/// fault ever having happened.
///
/// ```swift
/// try await withTestDevices(
///     InMemoryGateway(), tables: NotesDatabase.tables,
///     migrate: { try NotesDatabase.migrator.migrate($0) }
/// ) { devices in
///     let phone = try devices.add("phone")
///     try await phone.database.write { try Note(text: "milk").insert($0) }
///     try await phone.engine.syncChanges()
/// }
/// ```
///
/// At the end, all engines are stopped and all databases are closed. An engine or a database that
/// is used after the end of the scope fails.
///
/// - Parameters:
///   - gateway: an ``InMemoryGateway``, its ``InMemoryGateway/watchable``, or a ``FaultyTransport``
///     around one.
///   - tables: the tables to sync, as the app lists them for its engine.
///   - migrate: creates the app's tables in an empty database.
///   - isolation: the caller's isolation, in which `body` runs.
///   - body: the test. If it throws, the error is rethrown and nothing is checked.
/// - Returns: what `body` returns.
/// - Throws: what `body` throws; ``TestLeftovers``; a database error.
public func withTestDevices<Value>(
    _ gateway: any TestTransport, tables: [SyncTable],
    migrate: @escaping @Sendable (any DatabaseWriter) throws -> Void,
    isolation: isolated (any Actor)? = #isolation,
    _ body: (TestDevices) async throws -> Value
) async throws -> Value {
    let devices = TestDevices(gateway, tables: tables, migrate: migrate)
    let value: Value
    do { value = try await body(devices) } catch {
        _ = try? await devices.end()
        throw error
    }
    let findings = try await devices.end()
    guard findings.isEmpty else { throw TestLeftovers(findings: findings) }
    return value
}
