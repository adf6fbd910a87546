import DatabaseKit
import Model
import Postgres
import RPC
import ServiceKit
import Telemetry
import Waiting

/// In front of the pool: users take turns at reading pages, by the time that theirs need, and one
/// user reads few at once, however many devices ask.
struct PageTurns: Sendable {
    static let perUserSetting = Setting.integer(
        "OVERSYNC_DOWNLOAD_PAGES_PER_USER", "pages of one user that are read at once", default: 4,
        in: 1...1000, unit: "pages")
    static let waitingSetting = Setting.integer(
        "OVERSYNC_DOWNLOAD_QUEUE_PER_USER",
        "pages of one user that wait for its others; over it 429", default: 256, in: 0...10_000,
        unit: "pages")
    static let all: [any DescribedSetting] = [perUserSetting, waitingSetting]

    /// Pages of all users that wait.
    private static let maximumWaiting = 4096

    let waitingPerUser: Int
    private let gate: FairGate<PageRequest, Page>
    private let patience: Duration

    /// The bounds that the settings name; a turn waits as long as the pool lets it.
    init(_ configuration: Configuration) throws(ConfigurationError) {
        let database = DatabaseSettings.download
        waitingPerUser = try configuration.value(Self.waitingSetting)
        gate = FairGate(
            FairQueue.Limits(
                turns: try configuration.value(database.maximumConnections),
                turnsPerUser: try configuration.value(Self.perUserSetting),
                waiting: Self.maximumWaiting, waitingPerUser: waitingPerUser))
        patience = .milliseconds(try configuration.value(database.acquireTimeout))
    }

    /// Pages that wait for their turn.
    var waiting: Int { gate.waiting }

    func report(to metrics: MetricsRegistry) {
        metrics.value("oversync_download_queued", "Pages that wait for their turn") {
            Double(waiting)
        }
    }

    /// Waits for the page's turn, and reads it.
    ///
    /// - Throws: what `PageReader.read` throws; `RPCFailure` and `PostgresError` if its turn does
    ///   not come.
    func read(
        _ request: PageRequest, with reader: PageReader, deadline: ContinuousClock.Instant
    ) async throws -> Page {
        try await read(request, deadline: deadline) {
            try await reader.read($0, deadline: deadline)
        }
    }

    /// Waits for the turn of a page that is read otherwise.
    ///
    /// - Throws: what `read` throws; `RPCFailure` and `PostgresError` if its turn does not come.
    func read(
        _ request: PageRequest, deadline: ContinuousClock.Instant,
        _ read: (PageRequest) async throws -> Page
    ) async throws -> Page {
        let latest = min(deadline, .now + patience)
        do {
            return try await gate.submit(request, of: request.user, by: latest) {
                try await read($0)
            }
        } catch let refusal as TurnRefusal {
            switch refusal {
            case .userIsFull: throw tooManyOfUser
            case .full, .late: throw PostgresError(.poolExhausted)
            case .cancelled: throw RPCFailure.cancelled
            }
        }
    }

    private var tooManyOfUser: RPCFailure {
        RPCFailure(
            .resourceExhausted, code: "too_many_waiting",
            message: "\(waitingPerUser) pages of this user wait already; "
                + "send the request again when they are answered",
            retryAfter: .seconds(1))
    }
}
