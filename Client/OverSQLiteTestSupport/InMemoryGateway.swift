import Foundation
import OverSQLite
import Synchronization

/// A gateway in memory, for tests of apps and of the library itself: one or several users, no SQL, no
/// network. Tokens are made with `token(user:device:)`; nobody signs them.
///
/// It answers as the real one does: the same suite of behaviours runs against both. Of the protocol it lacks the
/// watch stream, compression, protobuf and roles.
///
/// ```swift
/// let gateway = InMemoryGateway()
/// configuration.transport = gateway
/// // … credentials: { InMemoryGateway.token(device: "phone") }
/// gateway.write("users", id, #"{"id":"…","name":"Ann"}"#)
/// try await engine.syncChanges()
/// ```
public final class InMemoryGateway: HTTPTransport {
    /// What happens to a request instead of, or after, being served.
    public enum Fault: Sendable {
        /// The request is served and its answer lost.
        case loseAnswer
        /// The connection breaks before the request arrives.
        case refuseConnection
        /// The request is not served; this is the answer.
        case answer(TransportResponse)
        /// The request is served once `until` returns.
        case delay(until: @Sendable () async -> Void)
        /// The request is served; before its answer goes out, `run` happens.
        case beforeAnswer(run: @Sendable () async throws -> Void)
    }

    /// A request as it came.
    public struct Request: Sendable {
        public let path: String
        public let query: [String: String]
        public let body: String
    }

    /// An error as a broken connection gives it.
    public struct ConnectionLost: Error {}

    /// A change as the log holds it.
    public struct LoggedChange: Sendable, Hashable {
        /// Its place in the user's feed.
        public let sequence: Int
        public let table: String
        public let pk: String
        /// `INSERT`, `UPDATE` or `DELETE`.
        public let operation: String
        /// JSON text; nil for a delete.
        public let payload: String?
        public let version: Int
        public let device: String
        /// What the device calls the change.
        public let changeID: Int
    }

    struct State {
        var store: GatewayStore
        var faults: [(path: String, fault: Fault)] = []
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

    /// - Parameters:
    ///   - schema: the schema that all tables are in.
    ///   - tables: what is served; nil serves any table and takes any row.
    ///   - clock: ends requests that wait when their time is over; without one they wait until there is news.
    public init(
        schema: String = "business", tables: [Table]? = nil, clock: (any SyncClock)? = nil
    ) {
        let store = GatewayStore(schema: schema, tables: GatewayTables(tables))
        state = Mutex(State(store: store))
        self.clock = clock
    }

    // MARK: What a test sets up

    /// The next request whose path ends so meets the fault. Faults of one path are met in order.
    public func next(_ path: String, _ fault: Fault) {
        state.withLock { $0.faults.append((path, fault)) }
    }

    /// Forgets faults that no request has met.
    public func clearFaults() { state.withLock { $0.faults = [] } }

    /// Refuses every change of a row with this reason until it is set to nil.
    public func refuse(_ table: String, _ pk: String, reason: String?) {
        state.withLock { $0.store.refusals["\(table)/\(pk)"] = reason }
    }

    /// Behaves as the reference servers do: repeats are acknowledged without a version, and a server row
    /// does not say who wrote it. Of `/sync/bootstrap` they know nothing.
    public func actLikeReference() {
        state.withLock { $0.isReference = true }
    }

    /// The most changes in an upload.
    public func setBatchLimit(_ limit: Int) { state.withLock { $0.batchLimit = limit } }

    /// Answers 401 to a token from now on, as when its time is over.
    public func expire(_ token: String) { state.withLock { _ = $0.expiredTokens.insert(token) } }

    /// Goes back to what was after a sequence of the user's feed and begins a new history, as a server that
    /// was restored from a backup.
    public func restore(toSequence sequence: Int, user: String = "user") {
        state.withLock { state in
            state.store.users[user]?.restore(to: sequence)
            state.epoch += 1
        }
    }

    /// Forgets replaced changes and deletes: cursors before the last delete are answered `history_pruned`.
    public func compact(user: String = "user") {
        state.withLock { $0.store.users[user]?.compact() }
    }

    /// Writes a row as another device of the user would, on the version that stands.
    ///
    /// - Parameter payload: JSON text; nil deletes the row.
    @discardableResult
    public func write(
        _ table: String, _ pk: String, _ payload: String?, user: String = "user",
        device: String = "elsewhere"
    ) -> Int {
        let version = state.withLock { state -> Int in
            var model = state.store.users[user] ?? GatewayModel()
            defer { state.store.users[user] = model }
            let change = GatewayModel.Change(
                id: model.lastSequence + 1_000_000, place: .init(table: table, pk: pk),
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
        let rows = model(user).rows.filter { $0.key.table == table }
        return Dictionary(
            uniqueKeysWithValues: rows.compactMap { place, row in
                row.payload.map { (place.pk, $0) }
            })
    }

    /// The version of a row, deleted or not; nil if it never was.
    public func version(_ table: String, _ pk: String, user: String = "user") -> Int? {
        model(user).rows[.init(table: table, pk: pk)]?.version
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
