import Foundation
import OverSQLite
import Synchronization

/// A gateway in memory, for tests of apps and of the library itself: one or several users, no SQL,
/// no network. Tokens are made with `token(user:device:)`; nobody signs them.
///
/// It answers as the real one does: the same suite of behaviours runs against both. Of the protocol
/// it lacks protobuf and roles; the watch stream and compression are what ``watchable`` adds.
public final class InMemoryGateway: TestTransport {
    /// A request as it came.
    public struct Request: Sendable {
        /// The path, such as `/sync/upload`.
        public let path: String
        /// The parameters behind the path, by name.
        public let query: [String: String]
        /// The body as text; empty if there was none.
        public let body: String
    }

    /// A change as the log holds it.
    public struct LoggedChange: Sendable, Hashable {
        /// Its place in the user's feed, from 1 on.
        public let sequence: Int
        /// The table's name, in lower case.
        public let table: String
        /// The row's key as it travels: a UUID with dashes in lower case, or the app's text.
        public let pk: String
        /// `INSERT`, `UPDATE` or `DELETE`.
        public let operation: String
        /// JSON text; nil for a delete.
        public let payload: String?
        /// The row's version after the change, from 1 on.
        public let version: Int
        /// The name of the device that sent it.
        public let device: String
        /// What the device calls the change.
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
        /// The floors at which devices began to read at 0.
        var hydrations: [Call.Caller: Int] = [:]
    }

    let state: Mutex<State>
    let clock: (any SyncClock)?

    /// A gateway without users and rows.
    ///
    /// - Parameters:
    ///   - schema: the schema that all tables are in.
    ///   - tables: what is served; nil serves any table and takes any row.
    ///   - clock: ends requests that wait when their time is over; without one they wait until
    ///     there is news.
    public init(
        schema: String = "business", tables: [Table]? = nil, clock: (any SyncClock)? = nil
    ) {
        let store = GatewayStore(schema: schema, tables: GatewayTables(tables))
        state = Mutex(State(store: store))
        self.clock = clock
    }

    // MARK: What a test sets up

    /// Plans a fault for the next request to an endpoint. Faults of one endpoint are met in order,
    /// each once.
    public func next(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.next(endpoint, fault) }
    }

    /// Forgets faults that no request has met.
    public func clearFaults() { state.withLock { $0.plan.clear() } }

    /// Refuses every change of a row until the reason is set to nil.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - pk: the row's key; a UUID in any spelling.
    ///   - reason: what the answer gives as its reason, such as `bad_payload`, `fk_missing`,
    ///     `row_missing`,
    ///     `key_taken`, `unregistered_table`, or `materialize_error`; nil takes the row again.
    public func refuse(_ table: String, _ pk: String, reason: String?) {
        state.withLock { state in
            let place = state.store.tables.place(table, pk)
            state.store.refusals[place] = reason.map { PlannedRefusal(reason: $0) }
        }
    }

    /// A line for each fault that no request has met, and for each refusal of a row that no device
    /// has sent.
    public var unusedPlans: [String] {
        state.withLock { state in
            let rows = state.store.refusals.filter { !$1.isMet }.map { place, refusal in
                "no upload had the row \(place.table) \(place.pk), to be refused as \(refusal.reason)"
            }
            return state.plan.unused + rows.sorted()
        }
    }

    /// Behaves as servers do that know the protocol's beginnings only: repeats are acknowledged
    /// without a version, a server row does not say who wrote it, requests that wait for news are
    /// answered at once, and of `/sync/bootstrap`, `/sync/capabilities` and epochs such a server
    /// knows nothing.
    public func actLikeOlderServer() { state.withLock { $0.isReference = true } }

    /// Sets the most changes that an upload may have; at first 1000.
    public func setBatchLimit(_ limit: Int) { state.withLock { $0.batchLimit = limit } }

    /// Answers 401 to a token from now on, as when its time is over.
    public func expire(_ token: String) { state.withLock { _ = $0.expiredTokens.insert(token) } }

    /// Goes back to what was after a sequence of the user's feed and begins a new history, as a
    /// server that was restored from a backup.
    public func restore(toSequence sequence: Int, user: String = "user") {
        state.withLock { state in
            state.store.users[user]?.restore(to: sequence)
            state.epoch += 1
        }
    }

    /// Forgets replaced changes and deletes: cursors before the last delete are answered
    /// `history_pruned`.
    public func compact(user: String = "user") {
        state.withLock { $0.store.users[user]?.compact() }
    }

    /// Writes a row as another device of the user would, on the version that stands.
    ///
    /// - Parameters:
    ///   - table: the table's name.
    ///   - pk: the row's key as it travels; in a table of UUIDs in any spelling.
    ///   - payload: the row as JSON text; nil deletes it.
    ///   - user: whose row it is.
    ///   - device: the name of the device that the feed gives as its writer.
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
            return model.write(change, from: device)
        }
        wakeWaiting()
        return version
    }

    /// A token for a user's device, as the app's `credentials` would give it.
    public static func token(user: String = "user", device: String) -> String {
        let claims = Data(#"{"sub":"\#(user)","did":"\#(device)"}"#.utf8).base64EncodedString()
        return "e30.\(claims.replacing("=", with: "")).unsigned"
    }

    // MARK: What a test looks at

    /// Every request so far.
    public var requests: [Request] { state.withLock { $0.requests } }

    /// Bodies of the uploads so far.
    public var uploads: [String] { requests.filter { $0.path.hasSuffix("upload") }.map(\.body) }

    /// The rows that are not deleted: payload text by key.
    public func rows(_ table: String, user: String = "user") -> [String: String] {
        let rows = model(user).rows.filter { $0.key.table == table.lowercased() }
        return Dictionary(
            uniqueKeysWithValues: rows.compactMap { place, row in
                row.payload.map { (place.pk, $0) }
            })
    }

    /// The version of a row, deleted or not, its key in any spelling; nil if it never was.
    public func version(_ table: String, _ pk: String, user: String = "user") -> Int? {
        state.withLock { state in
            let rows = state.store.users[user]?.rows ?? [:]
            return
                (rows[state.store.tables.writtenPlace(table, pk)]
                ?? rows[state.store.tables.place(table, pk)])?.version
        }
    }

    /// How many changes the log has had.
    public func logCount(user: String = "user") -> Int { model(user).lastSequence }

    /// The changes in the log, in their order.
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
