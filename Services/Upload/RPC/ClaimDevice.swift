import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Telemetry
import Waiting

/// The `ClaimDevice` call: binds a device that a header names to the user who names it first.
///
/// A user's token says nothing of such a device, so two things are decided here: that it is not
/// another user's, and that a user does not invent ever more of them. From then on it is a device
/// as any other: it is listed, and can be revoked.
struct ClaimDevice: Sendable {
    static let setting = Setting.integer(
        "OVERSYNC_MAX_HEADER_DEVICES",
        "devices of one user over which a header may name no new one", default: 1000,
        in: 1...1_000_000, unit: "devices")

    /// Of a pool that uploads need, too.
    private static let limits = FairQueue.Limits(
        turns: 2, turnsPerUser: 1, waiting: 1024, waitingPerUser: 64)
    /// Longest wait for a turn.
    private static let patience: Duration = .seconds(3)
    /// Longest wait for another user's claim, and for the user's own uploads. Few may wait at once,
    /// so that one user whose log is locked must not hold up the others for long.
    private static let lockMilliseconds = 1000
    private static let statementMilliseconds = 5000
    private static let idleMilliseconds = 5000

    let pool: PostgresPool
    /// Most devices of one user.
    let maximumDevices: Int
    /// Most of them that are not revoked; nil: any number.
    let quota: Int64?
    let logger: Logger
    private let gate = FairGate<DeviceID, DeviceUse>(limits)

    init(pool: PostgresPool, maximumDevices: Int, quota: Int64? = nil, logger: Logger) {
        self.pool = pool
        self.maximumDevices = maximumDevices
        self.quota = quota
        self.logger = logger
    }

    /// - Throws: `RPCFailure`: `device_taken`, `too_many_devices`, or that the database cannot be
    ///   asked.
    func callAsFunction(_ context: CallContext) async throws -> RPCReply<ClaimDeviceReply> {
        let caller = try context.requiredCaller()
        let (user, device) = (UserID(caller.user), DeviceID(caller.device))
        let use: DeviceUse
        do {
            let latest = min(context.deadline, .now + Self.patience)
            use = try await gate.submit(device, of: user, by: latest) { device in
                try await claim(device, for: user, context.deadline)
            }
        } catch is TurnRefusal {
            throw DatabaseFailures.upload.failure(of: PostgresError(.poolExhausted))
        } catch let error as PostgresError {
            logger.warning(
                "a device could not be bound",
                metadata: .fields([
                    .requestID: .string(context.requestID), .user: .string(userHash(caller.user)),
                    .source: .string(caller.device), .error: "\(error)",
                ]))
            throw DatabaseFailures.upload.failure(of: error)
        }
        switch use {
        case .users: return RPCReply(ClaimDeviceReply())
        case .others: throw RPCFailure.deviceTaken
        case .nobodys: throw RPCFailure.tooManyDevices
        }
    }

    /// - Returns: whose the device is now.
    private func claim(
        _ device: DeviceID, for user: UserID, _ deadline: ContinuousClock.Instant
    ) async throws -> DeviceUse {
        try await pool.withConnection(deadline: deadline) { connection in
            let read = DeviceStatements.ReadDeviceUse(user: user, device: device)
            let use = try await connection.run(read, deadline: deadline).one()
            // Nearly always: a gateway asks again for what it has forgotten.
            guard use == .nobodys else { return use }
            var pipeline = Pipeline()
            pipeline.add(UploadStatements.begin)
            pipeline.add(Command(UploadStatements.configure, Self.timeouts))
            // The device first, so that two users who name it wait for each other here.
            pipeline.add(Self.command(DeviceStatements.lockDevice, device.value))
            pipeline.add(Self.command(UserScope.create, user.value))
            pipeline.add(Self.command(UserScope.lock, user.value))
            // Each of these sees what was committed before the locks were granted.
            var bindings = Bindings()
            bindings.bind(user.value)
            bindings.bind(device.value)
            bindings.bind(Int64(maximumDevices))
            bindings.bind(quota)
            pipeline.add(Command(DeviceStatements.claim, bindings))
            let outcome = pipeline.add(read)
            pipeline.add(UploadStatements.commit)
            return try await connection.run(pipeline, deadline: deadline)[outcome].one()
        }
    }

    private static var timeouts: Bindings {
        var bindings = Bindings()
        for time in [statementMilliseconds, lockMilliseconds, idleMilliseconds] {
            bindings.bind("\(time)")
        }
        return bindings
    }

    private static func command(_ statement: Statement, _ text: String) -> Command {
        var bindings = Bindings()
        bindings.bind(text)
        return Command(statement, bindings)
    }
}
