import Foundation
import OverSQLite
import Synchronization

/// A gateway in memory, for tests of apps and of the library itself: one or more users, no SQL, no
/// network. `token(user:device:)` makes its tokens, which are not signed.
///
/// It behaves like the real gateway: the same test suite runs against both. It does not support the
/// protocol's protobuf format and roles; ``close(_:to:)`` stands for what roles do. ``watchable``
/// adds the watch stream and compression.
public final class InMemoryGateway: TestTransport {
    /// A request that the gateway received.
    public struct Request: Sendable {
        /// The path, such as `/sync/upload`.
        public let path: String
        /// The query parameters, by name.
        public let query: [String: String]
        /// The body as text; empty if there was none.
        public let body: String
    }

    /// A change in the log.
    public struct LoggedChange: Sendable, Hashable {
        /// The change's sequence in the user's log, from 1.
        public let sequence: Int
        /// The table's name, in lower case.
        public let table: String
        /// The row's key as it was sent: a lower-case UUID with dashes, or the app's text.
        public let pk: String
        /// `INSERT`, `UPDATE` or `DELETE`.
        public let operation: String
        /// The payload as JSON text; nil for a delete.
        public let payload: String?
        /// The row's version after the change, from 1.
        public let version: Int
        /// The name of the device that sent the change.
        public let device: String
        /// The change id that the device gave the change.
        public let changeID: Int
    }

    struct State {
        var store: GatewayStore
        var plan = FaultPlan()
        var requests: [Request] = []
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
        var batchLimit = 1000
        var epoch = 1
        var isReference = false
        var expiredTokens: Set<String> = []
        /// The floor at the time when each device began to download from 0.
        var hydrations: [Call.Caller: Int] = [:]
        var access = GatewayAccess()
        /// The number that was leased last, by table.
        var lastKeys: [String: Int64] = [:]
    }

    let state: Mutex<State>
    let clock: (any SyncClock)?

    /// Makes a gateway without users and rows.
    ///
    /// - Parameters:
    ///   - schema: the schema of all tables.
    ///   - tables: the tables to serve. The default, nil, serves any table and accepts any row.
    ///   - clock: ends held requests when their wait is over. Without a clock they wait until there
    ///     is a change.
    public init(
        schema: String = "business", tables: [Table]? = nil, clock: (any SyncClock)? = nil
    ) {
        let store = GatewayStore(schema: schema, tables: GatewayTables(tables))
        state = Mutex(State(store: store))
        self.clock = clock
    }

    // MARK: What a test sets up

    /// Plans a fault for the next request to an endpoint. Several faults for one endpoint apply to
    /// one request each, in order.
    public func next(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.next(endpoint, fault) }
    }

    /// Removes planned faults that no request has met.
    public func clearFaults() { state.withLock { $0.plan.clear() } }

    /// Rejects every change of a row until the reason is set to nil.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - pk: the row's key; a UUID may have any spelling.
    ///   - reason: the reason in the answer, such as `bad_payload`, `fk_missing`, `row_missing`,
    ///     `key_taken`, `unregistered_table` or `materialize_error`; nil accepts the row again.
    public func refuse(_ table: String, _ pk: String, reason: String?) {
        state.withLock { state in
            let place = state.store.tables.place(table, pk)
            state.store.refusals[place] = reason.map { PlannedRefusal(reason: $0) }
        }
    }

    /// Makes a table store rows otherwise than devices send them, like one that rounds numbers, has
    /// defaults, or has triggers that change rows.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - store: the JSON text that is stored, given the payload's.
    public func storeRows(of table: String, as store: @escaping @Sendable (String) -> String) {
        state.withLock { $0.store.storing[table.lowercased()] = store }
    }

    /// One line for each fault that no request has met, and for each planned rejection of a row
    /// that no device has sent.
    public var unusedPlans: [String] {
        state.withLock { state in
            let rows = state.store.refusals.filter { !$1.isMet }.map { place, refusal in
                "no upload had the row \(place.table) \(place.pk), "
                    + "to be rejected as \(refusal.reason)"
            }
            return state.plan.unused + rows.sorted()
        }
    }

    /// Makes the gateway behave like a server that knows only the first version of the protocol.
    ///
    /// Repeats are acknowledged without a version, a server row does not say who wrote it, requests
    /// that wait for changes are answered at once, and `/sync/bootstrap`, `/sync/capabilities` and
    /// epochs are unknown.
    public func actLikeOlderServer() { state.withLock { $0.isReference = true } }

    /// Sets the maximum number of changes in an upload. Initially, it is 1000.
    public func setBatchLimit(_ limit: Int) { state.withLock { $0.batchLimit = limit } }

    /// Answers 401 to a token from now on, as if it had expired.
    public func expire(_ token: String) { state.withLock { _ = $0.expiredTokens.insert(token) } }

    /// Goes back to the state after a sequence of the user's log and begins a new epoch, like a
    /// server restored from a backup.
    public func restore(toSequence sequence: Int, user: String = "user") {
        state.withLock { state in
            state.store.users[user]?.restore(to: sequence)
            state.epoch += 1
        }
    }

    /// Goes back to the state after a sequence of the user's log, and keeps the epoch, like a
    /// failover to a standby that lacked the latest changes.
    public func fork(atSequence sequence: Int, user: String = "user") {
        state.withLock { $0.store.users[user]?.restore(to: sequence) }
    }

    /// Removes replaced changes and deletes from the log. Cursors before the last removed delete
    /// are answered with `history_pruned`.
    public func compact(user: String = "user") {
        state.withLock { $0.store.users[user]?.compact() }
    }

    /// Writes a row as if another device of the user had changed its current version.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - pk: the row's key as it is sent; in a table of UUIDs in any spelling.
    ///   - payload: the row as JSON text; nil deletes the row.
    ///   - user: the user whose row it is.
    ///   - device: the device that the log names as the writer.
    /// - Returns: the row's new version.
    @discardableResult
    public func write(
        _ table: String, _ pk: String, _ payload: String?, user: String = "user",
        device: String = "elsewhere"
    ) -> Int {
        let version = state.withLock { state -> Int in
            var model = state.store.users[user] ?? GatewayModel()
            defer { state.store.users[user] = model }
            let change = GatewayModel.Change(
                id: model.lastSequence + 1_000_000,
                place: state.store.tables.writtenPlace(table, pk),
                operation: payload == nil ? "DELETE" : "UPDATE", base: 0, payload: payload,
                columns: payload.map { PayloadColumns(json: $0) } ?? [:])
            return model.write(change, storing: payload, from: device)
        }
        wakeWaiting()
        return version
    }

    /// A token for a user's device, for the app's `credentials` closure.
    public static func token(user: String = "user", device: String) -> String {
        let claims = Data(#"{"sub":"\#(user)","did":"\#(device)"}"#.utf8).base64EncodedString()
        return "e30.\(claims.replacing("=", with: "")).unsigned"
    }

    // MARK: What a test looks at

    /// Every request so far.
    public var requests: [Request] { state.withLock { $0.requests } }

    /// The bodies of the uploads so far.
    public var uploads: [String] { requests.filter { $0.path.hasSuffix("upload") }.map(\.body) }

    /// The payloads of a table's rows by key, without deleted rows.
    public func rows(_ table: String, user: String = "user") -> [String: String] {
        let rows = model(user).rows.filter { $0.key.table == table.lowercased() }
        return Dictionary(
            uniqueKeysWithValues: rows.compactMap { place, row in
                row.payload.map { (place.pk, $0) }
            })
    }

    /// The version of a row, deleted or not; nil if the row never existed. The key may have any
    /// spelling.
    public func version(_ table: String, _ pk: String, user: String = "user") -> Int? {
        state.withLock { state in
            let rows = state.store.users[user]?.rows ?? [:]
            return
                (rows[state.store.tables.writtenPlace(table, pk)]
                ?? rows[state.store.tables.place(table, pk)])?.version
        }
    }

    /// The number of changes that the log has ever had.
    public func logCount(user: String = "user") -> Int { model(user).lastSequence }

    /// The changes in the log, in order.
    public func log(user: String = "user") -> [LoggedChange] {
        model(user).log.map { entry in
            LoggedChange(
                sequence: entry.sequence, table: entry.place.table, pk: entry.place.pk,
                operation: entry.operation, payload: entry.payload, version: entry.version,
                device: entry.source, changeID: entry.changeID)
        }
    }

    func model(_ user: String) -> GatewayModel {
        state.withLock { $0.store.users[user] ?? GatewayModel() }
    }
}
