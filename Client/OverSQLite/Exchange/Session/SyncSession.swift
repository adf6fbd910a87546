import Foundation
import GRDB
import Synchronization

/// What all operations share: the database, the gateway and the status.
final class SyncSession: Sendable {
    let database: any DatabaseWriter
    /// The synced tables, with what the server has said of their columns.
    var catalog: DeviceCatalog { described.withLock { $0 } }
    private let described: Mutex<DeviceCatalog>
    let configuration: SyncConfiguration
    let gateway: GatewayClient
    let board: StatusBoard
    let journal: RequestJournal
    /// Held by whatever exchanges rows, so that only one page or upload is processed at a time.
    let lock = AsyncLock()
    let pacer: Mutex<BatchPacer>
    let watchdog: Mutex<Watchdog>
    /// The server's epoch, as far as this process knows it.
    let epoch: SharedEpoch
    /// The number of pauses in effect; the app's own pause counts as one.
    let pauses = Mutex(0)
    /// Whether the server says that its tables are others than the device takes for readable, and
    /// does not name them, as while one of its services is older. Requests that wait for news then
    /// say nothing of tables: they would not be held.
    var namesNoTables: Bool {
        get { anyTables.withLock { $0 } }
        set { anyTables.withLock { $0 = newValue } }
    }
    private let anyTables = Mutex(false)
    /// Edits whose outcome the app waits for.
    let outcomes = OutcomeWatch()
    /// Parents whose absence rejected other rows, and which a notice has already reported.
    private let missing = Mutex<Set<TableKey>>([])
    /// What the server offers; nil until it was asked.
    private let offered = Mutex<Offer?>(nil)
    private let bound = BoundClaims()
    /// The tables for which the server had no numbers, and when (`KeyLeasing`).
    let keyRefusals = Mutex<[Int64: Double]>([:])

    init(
        database: any DatabaseWriter, tables: [SyncTable], configuration: SyncConfiguration,
        credentials: @escaping @Sendable (CredentialsRequest) async throws -> String
    ) throws {
        self.database = database
        self.configuration = configuration
        let log = SyncLog(configuration.logger)
        board = StatusBoard(log: log)
        journal = RequestJournal { log.write($0) }
        pacer = Mutex(
            BatchPacer(
                largest: configuration.uploadLimit, bytes: configuration.uploadBytes))
        watchdog = Mutex(Watchdog(limit: configuration.watchdog))
        let (catalog, notices) = try database.write { db in
            try DatabaseCheck.expectTrust(in: db)
            var installation = Installation(db: db)
            let catalog = try installation.install(
                tables, defaultPolicy: configuration.conflictPolicy)
            try DeviceStateTable(db: db).ensureSource()
            let check = DatabaseCheck(db: db, catalog: catalog)
            let copy = try check.noticeCopy().map { [$0] } ?? []
            let found = try check.notices(database.configuration)
            return (catalog, copy + installation.notices + found)
        }
        described = Mutex(catalog)
        let board = board
        board.update { $0.notices = notices }
        let bound = bound
        let epoch = SharedEpoch()
        self.epoch = epoch
        gateway = GatewayClient(
            base: configuration.gateway, schema: configuration.schema,
            transport: configuration.transport, epoch: { epoch.name },
            renewingCredentials: credentials,
            identify: { try await Self.identify($0, database, bound, epoch, board) },
            deviceName: { claims in
                guard claims.namesUserAlone else { return nil }
                return try await Self.read(from: database) { db in
                    try DeviceStateTable(db: db).ownName()
                }
            },
            keyKinds: catalog.keyKindsToAskFor,
            compareClocks: { server in
                let notice = ClockRules.notice(
                    device: configuration.clock.now.timeIntervalSince1970, server: server)
                board.show(notice, of: .clock)
                return notice
            }, journal: journal,
            reporting: DeviceReporter(
                database: database, configuration: configuration, board: board
            ).reporting, clock: configuration.clock)
    }

    /// Binds the database to the token's user and device, or sees that they are the ones bound.
    private static func identify(
        _ token: TokenClaims, _ database: any DatabaseWriter, _ bound: BoundClaims,
        _ epoch: SharedEpoch, _ board: StatusBoard
    ) async throws {
        var claims = token
        let owner: String?
        (owner, claims.device) = try await read(from: database) { db in
            let table = DeviceStateTable(db: db)
            // A token of an issuer that knows no devices: the engine's own name counts.
            let device = token.namesUserAlone ? try table.ownName() : token.device
            return (try table.read().userID, device)
        }
        if !bound.fits(owner) {
            // The next exchange starts from nothing, like a new engine.
            bound.set(nil)
            epoch.current = .unknown
            throw SyncError.signedOutElsewhere
        }
        guard bound.isNew(claims) else { return }
        let new = claims
        let shared = try await write(to: database) { db in
            try DeviceStateTable(db: db).bind(to: new)
            return try DeviceStateTable(db: db).sharedName()
        }
        board.show(shared.map(SyncNotice.sharedDevice), of: .sharedDeviceID)
        bound.set(claims)
    }

    /// Aborts a transaction that would mix one user's answer with another user's rows. Another
    /// engine on the database, perhaps in another process, may have signed the user out since the
    /// request.
    func checkUser(_ state: DeviceState) throws {
        if !bound.fits(state.userID) { throw SyncError.signedOutElsewhere }
    }

    /// Allows the next token to be of any user, after a sign-out.
    func forgetUser() {
        bound.set(nil)
        epoch.current = .unknown
        offered.withLock { $0 = nil }
    }

    /// One rejection for each row that is missing, however many rows need it.
    func news(of orphaned: [(parent: TableKey, change: RejectedChange)]) -> [RejectedChange] {
        missing.withLock { missing in
            orphaned.filter { missing.insert($0.parent).inserted }.map(\.change)
        }
    }

    /// What the server offers; asked for once per process, and again when that is old. A server
    /// that refuses to answer counts as offering nothing.
    ///
    /// - Throws: `SyncError` if the server could not be asked, or if something else answered.
    func capabilities() async throws -> Capabilities {
        let known = offered.withLock { $0 }
        if let known, known.isFresh(at: now) { return known.capabilities }
        do { return try await askForCapabilities(told: nil) } catch {
            // What it offered before is better than nothing.
            guard let known else { throw error }
            return known.capabilities
        }
    }

    /// Asks the server what it offers now.
    ///
    /// - Parameter told: what an answer has just said of the tables that the user may read.
    func askForCapabilities(told: TablesFingerprint?) async throws -> Capabilities {
        let found: Capabilities
        do {
            found = try await gateway.capabilities(tables: told) ?? Capabilities.none
        } catch SyncError.refused(let status, _, _) where status < 500 {
            let nothing = Capabilities.none
            offered.withLock { $0 = Offer(capabilities: nothing, askedAt: now) }
            return nothing
        }
        offered.withLock { $0 = Offer(capabilities: found, askedAt: now) }
        if let limits = found.limits { pacer.withLock { $0.keep(within: limits) } }
        let (tables, schema) = (found.tables ?? [], configuration.schema)
        described.withLock { $0 = $0.knowing(tables, schema: schema) }
        let served = ServedTables.notices(
            wanted: catalog.tables.map(\.wireName), schema: schema, offered: tables)
        board.show(served, of: [.unknownSchema, .unservedTable])
        let misfits = ColumnFit.notices(catalog.tables, schema: schema, offered: tables)
        board.show(misfits, of: [.columnType])
        return found
    }

    /// Asks what the server offers, for the notices about the app's tables and for what is kept of
    /// their values. If the server does not answer, the next exchange asks again.
    func lookAtTables() async {
        _ = try? await capabilities()
    }

    /// Remembers that the server refused a feature that it had offered.
    func forgetOffer(of feature: Capabilities.Feature) {
        offered.withLock { $0?.capabilities.features.removeAll { $0 == feature.rawValue } }
    }

    /// Runs an exchange once no other is running, unless sync is paused then.
    ///
    /// - Throws: `SyncError.paused`.
    func inTurn<Value: Sendable>(_ exchange: () async throws -> Value) async throws -> Value {
        try await lock.locked {
            guard pauses.withLock({ $0 == 0 }) else { throw SyncError.paused }
            return try await exchange()
        }
    }

    var now: Double { configuration.clock.now.timeIntervalSince1970 }

    /// Runs a write transaction of the library. Throws SQLite's errors as `SyncError`, and where a
    /// temporary table hides a synced one.
    func write<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value
    {
        let names = catalog.tables.map(\.name)
        return try await Self.write(to: database) { db in
            try HiddenTables(db: db).refuse(names)
            return try body(db)
        }
    }

    private static func write<Value: Sendable>(
        to database: any DatabaseWriter, _ body: @Sendable (Database) throws -> Value
    ) async throws -> Value {
        try await asSyncErrors {
            try await withoutActuallyEscaping(body) { body in
                try await database.write { db in try body(db) }
            }
        }
    }

    /// Runs a read of the library on one snapshot, without waiting for writers. Throws SQLite's
    /// errors as `SyncError`.
    func read<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
        try await Self.read(from: database, body)
    }

    /// Does not use GRDB's `read`, which ends the process if the app has closed a queue instead of
    /// throwing an error.
    static func read<Value: Sendable>(
        from database: any DatabaseReader, _ body: @Sendable (Database) throws -> Value
    ) async throws -> Value {
        try await asSyncErrors {
            try await withoutActuallyEscaping(body) { body in
                try await database.unsafeRead { db in
                    var value: Value?
                    try db.inTransaction(.deferred) {
                        value = try body(db)
                        return .commit
                    }
                    guard let value else { throw DatabaseError(resultCode: .SQLITE_ABORT) }
                    return value
                }
            }
        }
    }

    private static func asSyncErrors<Value: Sendable>(
        _ body: () async throws -> Value
    ) async throws -> Value {
        do { return try await body() } catch let error as DatabaseError
            where error.resultCode != .SQLITE_INTERRUPT
        {
            throw SyncError(error)
        } catch let error as RowDecodingError {
            // Of a value that no `MetadataRow` has read; in the app's tables, that is.
            throw SyncError.damagedMetadata("\(error)")
        }
    }

    /// Whether changes have been pending for too long and none was confirmed.
    var isStuck: Bool {
        let due = watchdog.withLock { $0.dueAt }
        return due.map { $0 <= now } ?? false
    }

    /// Updates the counts in the status.
    ///
    /// - Parameters:
    ///   - confirmed: whether a change was confirmed since the last call.
    ///   - scope: the watched rows whose outcome to look up in the same transaction.
    func refreshCounts(
        confirmed: Bool = false, confirming scope: OutcomeWatch.Scope = .none
    ) async throws {
        let (catalog, outcomes, now) = (catalog, outcomes, now)
        let (counts, held, isHydrated) = try await write { db in
            try ChangeLog(db: db, catalog: catalog).fold()
            try outcomes.confirm(db, catalog, scope, now: now)
            return (
                try PendingQueue(db: db).counts(catalog), try HeldRows(db: db).count(),
                try DeviceStateTable(db: db).read().isHydrated
            )
        }
        let stuck = watchdog.withLock {
            $0.observe(pending: counts.onTheirWay, confirmed: confirmed, now: now)
        }
        if counts.rejected == 0 { missing.withLock { $0 = [] } }
        board.update { status in
            status.pendingCount = counts.pending
            status.rejectedCount = counts.rejected
            status.heldCount = held
            status.hasFinishedFirstSync = isHydrated
            if let stuck, status.lastError == nil { status.lastError = .noProgress(seconds: stuck) }
        }
    }
}

/// What the server offered when it was asked last.
private struct Offer {
    /// Seconds after which the server is asked again: its tables may have changed.
    private static let lifetime = 3600.0

    var capabilities: Capabilities
    let askedAt: Double

    /// A clock that was set back makes it old, too.
    func isFresh(at now: Double) -> Bool { abs(now - askedAt) < Self.lifetime }
}

/// The claims to which the database is already bound.
private final class BoundClaims: Sendable {
    private let claims = Mutex<TokenClaims?>(nil)

    func isNew(_ other: TokenClaims) -> Bool { claims.withLock { $0 != other } }

    /// Whether the database still belongs to the user whose tokens were used.
    func fits(_ owner: String?) -> Bool {
        claims.withLock { $0?.user.map { $0 == owner } ?? true }
    }

    func set(_ new: TokenClaims?) { claims.withLock { $0 = new } }
}

extension SyncError {
    /// Ends an exchange whose user another engine has signed out. The loop then starts over.
    static let signedOutElsewhere = SyncError.database(
        "another engine on this database has signed the user out")
}
