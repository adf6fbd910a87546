import GRDB
import OverSQLite
import Synchronization

/// The devices of one test, which share an app's tables and a gateway.
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

    /// Makes a device with an empty database, which has exchanged nothing yet.
    ///
    /// - Parameters:
    ///   - name: the device's name in its token, another for each device of a user.
    ///   - user: the user in its token.
    ///   - configure: changes the configuration, which has the gateway and the device's clock
    ///     already, and `business` as
    ///     its schema, as an ``InMemoryGateway`` has.
    /// - Throws: what the app's migrations throw; what `SyncEngine` throws when it is made;
    ///   ``TestScopeEnded``; ``TestDeviceTwice``.
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

/// Thrown where a device is asked for after the test's scope has ended.
public struct TestScopeEnded: Error, Sendable, Hashable {
    /// Makes the error, which holds nothing.
    public init() {}
}

/// Thrown where a user's device is added under a name that another of that user's devices has. The
/// server would take the two for one: each would pass over the other's changes as its own.
public struct TestDeviceTwice: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name in both tokens.
    public let name: String
    /// The user in both tokens.
    public let user: String

    /// What is wrong and what to do, as the test's report shows it.
    public var description: String {
        "\(user) has a device named \(name) already, and the server would take the two for one: "
            + "give each its own name"
    }
}

/// What a test has left behind that it should not, thrown at the end of its scope so that it fails.
public struct TestLeftovers: Error, Sendable, Hashable, CustomStringConvertible {
    /// A sentence for each: a device with rows that the server has not confirmed, a plan that no
    /// request has met.
    public let findings: [String]

    /// All of them, as the test's report shows them.
    public var description: String {
        "the test ends, but " + findings.joined(separator: "; ")
    }
}

/// Runs a test with devices, and fails it if it leaves changes pending or refused, so that no test
/// passes by what was never sent; or if a planned fault or refusal was never met, so that none
/// passes by what never happened.
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
/// At the end all engines are stopped and all databases closed: an engine or a database that a
/// helper let out of the scope fails when it is used.
///
/// - Parameters:
///   - gateway: an ``InMemoryGateway``, its ``InMemoryGateway/watchable``, or a ``FaultyTransport``
///     around one.
///   - tables: the tables to sync, as the app names them to its engine.
///   - migrate: makes the app's tables in a database that is empty.
///   - isolation: the caller's, in which `body` runs.
///   - body: the test. What it throws is thrown, and then nothing is looked for.
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
