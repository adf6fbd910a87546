import DatabaseKit
import Model
import NIOCore
import RPC
import ServiceKit
import Telemetry
import Traces
import Waiting

/// One upload from the moment it is admitted to its answer.
struct QueuedUpload: Sendable {
    /// Whose log is written, and by which device.
    let user: UserID
    let device: DeviceID
    /// The roles that policies of the team's tables see.
    let roles: [String]
    let options: UploadOptions
    let deadline: ContinuousClock.Instant
    /// When the wait for the user's other uploads ends, here and at the scope's lock.
    let latestStart: ContinuousClock.Instant
    /// Whether it may share a transaction with others of its user.
    let mayShare: Bool
    /// What it asks for, read for the schema of the moment.
    let reading: BatchReading
    /// The body's bytes, in the budget until the answer.
    let bytes: ByteBudget.Reservation
    /// The trace that it belongs to, if that is sampled.
    let trace = Traces.current
}

/// An upload that came to its end: what was read, and what became of it.
typealias AnsweredUpload = (batch: UploadBatch, result: UploadResult)

/// In front of the pool: uploads of one user take turns in order of arrival, and users take turns
/// by the time that their uploads need at the database.
///
/// Uploads of one user that wait together are handed over as a group, which shares a transaction
/// (``GroupTransaction``).
///
/// So a user that sends more than can be written waits for itself, in memory, within its share of
/// the bytes. It holds one connection at most, and nobody else waits for its lock.
struct UploadQueue: Sendable {
    static let perUserSetting = Setting.integer(
        "OVERSYNC_UPLOADS_PER_USER", "uploads of one user at the database at once", default: 1,
        in: 1...64, unit: "uploads")
    static let perGroupSetting = Setting.integer(
        "OVERSYNC_UPLOADS_PER_GROUP",
        "most uploads of one user that share a transaction; 1 gives each its own", default: 16,
        in: 1...64, unit: "uploads")
    static let waitingSetting = Setting.integer(
        "OVERSYNC_UPLOAD_QUEUE_PER_USER",
        "uploads of one user that wait for its others; over it 429", default: 256,
        in: 0...10_000, unit: "uploads")
    static let bufferSetting = Setting.integer(
        "OVERSYNC_UPLOAD_BUFFER_BYTES",
        "bytes of uploads that wait or are written, of all users; over it 503",
        default: 256 << 20, in: (1 << 20)...(1 << 40), unit: "bytes")
    static let shareSetting = Setting.integer(
        "OVERSYNC_UPLOAD_BUFFER_BYTES_PER_USER", "one user's share of these bytes; over it 429",
        default: 64 << 20, in: (1 << 20)...(1 << 40), unit: "bytes")
    static let all: [any DescribedSetting] = [
        perUserSetting, perGroupSetting, waitingSetting, bufferSetting, shareSetting,
    ]

    /// Uploads of all users that wait.
    private static let maximumWaiting = 4096
    /// Changes, and bytes of them, that a group has at most: its transaction keeps the user's log
    /// locked while they are written.
    private static let loadPerGroup = FairQueue.Load(items: 2000, bytes: 1 << 20)
    /// When to come back after there was no room: about the time in which a queue is served.
    private static let pauseWhenFull: Duration = .seconds(5)

    private typealias Gate = FairGate<QueuedUpload, AnsweredUpload>
    /// Uploads of one user whose turn came together.
    typealias Group = FairGate<QueuedUpload, AnsweredUpload>.Group

    let waitingPerUser: Int
    let logWaits: LogWaits
    private let gate: Gate
    private let budget: ByteBudget

    /// As many uploads are at the database at once as the pool has connections.
    init(_ configuration: Configuration) throws(ConfigurationError) {
        waitingPerUser = try configuration.value(Self.waitingSetting)
        let turns = try configuration.value(DatabaseSettings.upload.maximumConnections)
        logWaits = LogWaits(turns: turns)
        gate = Gate(
            FairQueue.Limits(
                turns: turns,
                turnsPerUser: try configuration.value(Self.perUserSetting),
                waiting: Self.maximumWaiting, waitingPerUser: waitingPerUser,
                requestsPerTurn: try configuration.value(Self.perGroupSetting),
                loadPerTurn: Self.loadPerGroup))
        budget = ByteBudget(
            total: try configuration.value(Self.bufferSetting),
            share: try configuration.value(Self.shareSetting))
    }

    /// Uploads that wait for their turn.
    var waiting: Int { gate.waiting }
    /// Those of them that were read, and may share a transaction.
    var prepared: Int { gate.prepared }
    /// Bytes of the uploads that wait or are written.
    var bytes: Int { budget.inUse }

    func report(to metrics: MetricsRegistry) {
        metrics.value("oversync_upload_waiting", "Uploads that wait for their turn") {
            Double(waiting)
        }
        metrics.value(
            "oversync_upload_buffer_bytes", "Bytes of uploads that wait or are written"
        ) { Double(bytes) }
        metrics.value(
            "oversync_upload_max_buffer_bytes", "Bytes of uploads that may wait or be written"
        ) { Double(budget.total) }
    }

    /// Room for a body; before it is read.
    ///
    /// - Throws: `RPCFailure` if there is none.
    func admit(_ body: ByteBuffer, of user: UserID) throws(RPCFailure) -> ByteBudget.Reservation {
        do throws(ByteBudget.Excess) {
            return try budget.reserve(body.readableBytes, for: user)
        } catch {
            switch error {
            case .share:
                throw .tooMuchOfUser(
                    "share_used_up", "\(budget.share) bytes of this user's uploads wait")
            case .total: throw .tooManyUploads(after: Self.pauseWhenFull)
            }
        }
    }

    /// Waits for the upload's turn, and answers.
    ///
    /// - Parameters:
    ///   - prepare: what is done before its turn, while the user's uploads before it are written;
    ///     tells what it brings to a group, or nil if it is written alone.
    ///   - together: writes a group.
    ///   - write: writes the upload alone.
    /// - Throws: `RPCFailure` if its turn does not come; what `write` throws, or what `together`
    ///   answers.
    func submit(
        _ upload: QueuedUpload, prepare: @escaping @Sendable () async -> FairQueue.Load?,
        together: @escaping @Sendable (Group) async -> Void,
        write: (QueuedUpload) async throws -> AnsweredUpload
    ) async throws -> AnsweredUpload {
        do {
            return try await gate.submit(
                upload, of: upload.user, by: upload.latestStart, prepare: prepare,
                together: together, answer: write)
        } catch let refusal as TurnRefusal {
            switch refusal {
            case .userIsFull:
                throw RPCFailure.tooMuchOfUser(
                    "too_many_waiting", "\(waitingPerUser) uploads of this user wait")
            case .full: throw RPCFailure.tooManyUploads(after: Self.pauseWhenFull)
            case .late: throw RPCFailure.userIsBusy
            case .cancelled: throw RPCFailure.cancelled
            }
        }
    }
}

extension RPCFailure {
    /// The user's other uploads, or another session that locks its log, took too long.
    static let userIsBusy = RPCFailure.unavailable(
        "Other uploads of this user have not ended in time; nothing of this one is lost, "
            + "send it again later")

    fileprivate static func tooMuchOfUser(_ code: String, _ what: String) -> RPCFailure {
        RPCFailure(
            .resourceExhausted, code: code,
            message: "\(what) already; nothing of this one was taken up, "
                + "send it again when they are answered",
            retryAfter: .seconds(1))
    }

    fileprivate static func tooManyUploads(after pause: Duration) -> RPCFailure {
        RPCFailure(
            .unavailable, code: "overloaded",
            message: "Too many uploads wait; nothing of this one was taken up, "
                + "send it again later",
            retryAfter: pause)
    }
}
