import DatabaseKit
import LogFields
import Logging
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Telemetry
import Waiting
import WireJSON

/// The `LeaseKeys` call: gives the caller's device numbers for rows that it will create in tables
/// whose keys a sequence makes.
///
/// The numbers are taken as `INSERT` takes them, so plain SQL never gets one of them. They are
/// never given back: a sequence has gaps anyway.
struct LeaseKeys: Sendable {
    /// The most numbers of a device in an hour, of all tables: holds off a device that would use
    /// up a sequence.
    static let keysPerHour: Int64 = 20_000

    /// Of a pool that uploads need, too.
    private static let limits = FairQueue.Limits(
        turns: 2, turnsPerUser: 1, waiting: 1024, waitingPerUser: 64)
    /// Longest wait for a turn.
    private static let patience: Duration = .seconds(3)
    private static let statementMilliseconds = 5000
    private static let lockMilliseconds = 1000
    private static let idleMilliseconds = 5000

    let pool: PostgresPool
    let source: CatalogSource
    let logger: Logger
    private let gate = FairGate<[Wanted], Leases>(limits)

    /// Why a table's numbers are fewer than were asked for, or none.
    enum Shortage: String, Sendable {
        /// The caller may not write to the table, or there is none.
        case forbiddenTable = "forbidden_table"
        /// The table's keys do not come from a sequence.
        case noSequence = "no_sequence"
        /// The sequence, or the column's type, has no more numbers.
        case exhausted
        /// The device was given as many in the last hour as it may.
        case limited
    }

    /// Numbers that are asked of a sequence.
    private struct Wanted: Sendable {
        let table: RegisteredTable
        let sequence: UInt32
        let count: Int32
    }

    private struct Leases: Sendable {
        /// The history that the numbers belong to.
        let epoch: String
        let tables: [TableName: Lease]
    }

    private struct Lease: Sendable {
        var ranges: [KeyRange] = []
        var shortage: Shortage?
    }

    init(pool: PostgresPool, source: CatalogSource, logger: Logger) {
        self.pool = pool
        self.source = source
        self.logger = logger
    }

    func callAsFunction(
        _ body: ByteBuffer, _ context: CallContext
    ) async throws -> RPCReply<LeaseKeysReply> {
        let identity = try context.requiredCaller()
        let caller = Caller(identity)
        let request = try Self.request(body)
        do {
            let catalog = try await source.catalog()
            var (wanted, refused) = ([Wanted](), [TableName: Lease]())
            for asked in request.tables {
                guard let table = catalog[asked.name], table.isWritable(by: caller) else {
                    refused[asked.name] = Lease(shortage: .forbiddenTable)
                    continue
                }
                guard let sequence = table.keySequence else {
                    refused[asked.name] = Lease(shortage: .noSequence)
                    continue
                }
                wanted.append(Wanted(table: table, sequence: sequence.oid, count: asked.count))
            }
            let latest = min(context.deadline, .now + Self.patience)
            let leases = try await gate.submit(wanted, of: caller.user, by: latest) { wanted in
                try await lease(wanted, to: caller, context.deadline)
            }
            let all = leases.tables.merging(refused) { lease, _ in lease }
            let document: JSONDocument = [
                "epoch": .string(leases.epoch),
                "tables": .array(
                    request.tables.map { Self.document($0.name, all[$0.name] ?? Lease()) }),
            ]
            return RPCReply(LeaseKeysReply(), body: ByteBuffer(string: document.text + "\n"))
        } catch is TurnRefusal {
            throw DatabaseFailures.upload.failure(of: PostgresError(.poolExhausted))
        } catch let error as PostgresError {
            logger.warning(
                "keys could not be leased",
                metadata: .fields([
                    .requestID: .string(context.requestID),
                    .user: .string(userHash(identity.user)),
                    .source: .string(identity.device), .error: "\(error)",
                ]))
            throw DatabaseFailures.upload.failure(of: error)
        }
    }

    private static func request(_ body: ByteBuffer) throws(RPCFailure) -> KeyRequest {
        do throws(KeyRequest.Flaw) {
            return try body.withUnsafeReadableBytes { bytes throws(KeyRequest.Flaw) in
                try KeyRequest(body: bytes.bindMemory(to: UInt8.self))
            }
        } catch {
            throw RPCFailure(
                .invalidArgument, code: "invalid_request", message: error.description)
        }
    }

    /// - Throws: `RPCFailure.deviceRevoked`; `PostgresError`.
    private func lease(
        _ wanted: [Wanted], to caller: Caller, _ deadline: ContinuousClock.Instant
    ) async throws -> Leases {
        try await pool.withConnection(deadline: deadline) { connection in
            let standing = try await connection.run(
                KeyLeaseStatements.ReadStanding(user: caller.user, device: caller.device),
                deadline: deadline
            ).first()
            if standing?.isRevoked == true { throw RPCFailure.deviceRevoked }
            var left = max(0, Self.keysPerHour - (standing?.leased ?? 0))
            var pipeline = Pipeline()
            pipeline.add(UploadStatements.begin)
            pipeline.add(Command(UploadStatements.configure, Self.timeouts))
            var user = Bindings()
            user.bind(caller.user.value)
            pipeline.add(Command(UserScope.create, user))
            let epoch = pipeline.add(UploadStatements.ReadEpoch())
            let tickets = wanted.map { wanted in
                let count = Int32(min(Int64(wanted.count), left))
                left -= Int64(count)
                return (
                    wanted, count,
                    pipeline.add(
                        KeyLeaseStatements.Lease(
                            user: caller.user, device: caller.device, table: wanted.table.id,
                            sequence: wanted.sequence, count: count,
                            range: wanted.table.keyRange))
                )
            }
            pipeline.add(UploadStatements.commit)
            let results = try await connection.run(pipeline, deadline: deadline)
            var tables: [TableName: Lease] = [:]
            for (wanted, count, ticket) in tickets {
                let ranges = try results[ticket].all().sorted { $0.first < $1.first }
                let given = ranges.reduce(0) { $0 + Int64($1.count) }
                var lease = Lease(ranges: ranges)
                // One that is left out (-1) is no shortage.
                if given + 1 < count || given == 0 && count > 0 {
                    lease.shortage = .exhausted
                } else if count < wanted.count {
                    lease.shortage = .limited
                }
                tables[wanted.table.name] = lease
            }
            return Leases(epoch: try results[epoch].one(), tables: tables)
        }
    }

    private static func document(_ name: TableName, _ lease: Lease) -> JSONDocument {
        [
            "schema": .string(name.schema), "table": .string(name.table),
            "ranges": .array(
                lease.ranges.map {
                    [
                        "first": .integer($0.first), "count": .integer(Int64($0.count)),
                        "step": .integer($0.step),
                    ]
                }),
            "shortage": lease.shortage.map { .string($0.rawValue) },
        ]
    }

    private static var timeouts: Bindings {
        var bindings = Bindings()
        for time in [statementMilliseconds, lockMilliseconds, idleMilliseconds] {
            bindings.bind("\(time)")
        }
        return bindings
    }
}
