import Foundation
import OverSQLite
import Synchronization
import WireJSON

/// A gateway in memory, for tests of apps and of the library itself: one or several users, no SQL, no
/// network. Tokens are made with `token(user:device:)`; nobody signs them.
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

    private struct State {
        var users: [String: GatewayModel] = [:]
        var faults: [(path: String, fault: Fault)] = []
        var requests: [Request] = []
        /// A reason to refuse a row with, by table and key.
        var refusals: [String: String] = [:]
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
        var sendsSourceOfRows = true
        var repeatsVersion = true
        var batchLimit = 1000
        var epoch = 1
        var isReference = false
        /// The floors at which devices began to read at 0, by user and device.
        var hydrations: [String: Int] = [:]
    }

    private let state = Mutex(State())

    public init() {}

    // MARK: What a test sets up

    /// The next request whose path ends so meets the fault. Faults of one path are met in order.
    public func next(_ path: String, _ fault: Fault) {
        state.withLock { $0.faults.append((path, fault)) }
    }

    /// Forgets faults that no request has met.
    public func clearFaults() { state.withLock { $0.faults = [] } }

    /// Refuses every change of a row with this reason until it is set to nil.
    public func refuse(_ table: String, _ pk: String, reason: String?) {
        state.withLock { $0.refusals["\(table)/\(pk)"] = reason }
    }

    /// Behaves as the reference servers do: repeats are acknowledged without a version, and a server row
    /// does not say who wrote it. Of `/sync/bootstrap` they know nothing.
    public func actLikeReference() {
        state.withLock {
            $0.sendsSourceOfRows = false
            $0.repeatsVersion = false
            $0.isReference = true
        }
    }

    /// The most changes in an upload.
    public func setBatchLimit(_ limit: Int) { state.withLock { $0.batchLimit = limit } }

    /// Goes back to what was after a sequence of the user's feed and begins a new history, as a server that
    /// was restored from a backup.
    public func restore(toSequence sequence: Int, user: String = "user") {
        state.withLock { state in
            state.users[user]?.restore(to: sequence)
            state.epoch += 1
        }
    }

    /// Forgets replaced changes and deletes: cursors before the last delete are answered `history_pruned`.
    public func compact(user: String = "user") {
        state.withLock { $0.users[user]?.compact() }
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
            var model = state.users[user] ?? GatewayModel()
            let place = GatewayModel.Place(table: table, pk: pk)
            let change = GatewayModel.Change(
                id: model.lastSequence + 1_000_000, place: place,
                operation: payload == nil ? "DELETE" : "UPDATE",
                base: model.rows[place]?.version ?? 0,
                payload: payload)
            defer { state.users[user] = model }
            guard case .applied(let version?) = model.apply(change, from: device) else { return 0 }
            return version
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
        state.withLock { state in
            var rows: [String: String] = [:]
            for (place, row) in state.users[user]?.rows ?? [:] where place.table == table {
                rows[place.pk] = row.payload
            }
            return rows
        }
    }

    /// The version of a row, deleted or not; nil if it never was.
    public func version(_ table: String, _ pk: String, user: String = "user") -> Int? {
        state.withLock { $0.users[user]?.rows[.init(table: table, pk: pk)]?.version }
    }

    /// How many changes the log holds.
    public func logCount(user: String = "user") -> Int {
        state.withLock { $0.users[user]?.lastSequence ?? 0 }
    }

    // MARK: Serving

    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        let call = try Call(request)
        let fault = state.withLock { state -> Fault? in
            state.requests.append(
                Request(
                    path: call.path, query: call.query,
                    body: String(decoding: call.body, as: UTF8.self)))
            let index = state.faults.firstIndex { call.path.hasSuffix($0.path) }
            return index.map { state.faults.remove(at: $0).fault }
        }
        switch fault {
        case nil: return try await serve(call)
        case .refuseConnection?: throw ConnectionLost()
        case .answer(let response)?: return response
        case .loseAnswer?:
            _ = try await serve(call)
            throw ConnectionLost()
        case .delay(let until)?:
            await until()
            return try await serve(call)
        case .beforeAnswer(let run)?:
            let response = try await serve(call)
            try await run()
            return response
        }
    }

    private func serve(_ call: Call) async throws -> TransportResponse {
        guard !call.user.isEmpty else {
            return Self.json(401, #"{"error":"authentication_failed","message":"no such token"}"#)
        }
        if call.path.hasSuffix("sync/bootstrap") { return bootstrap(call) }
        if let refusal = refusal(call) { return refusal }
        if call.path.hasSuffix("sync/upload") {
            let response = try upload(call)
            wakeWaiting()
            return response
        }
        if call.query["wait"] != nil { try await waitForNews(call) }
        return download(call)
    }

    private func bootstrap(_ call: Call) -> TransportResponse {
        state.withLock { state in
            if state.isReference {
                return TransportResponse(status: 404, body: Array("404 page not found\n".utf8))
            }
            let model = state.users[call.user] ?? GatewayModel()
            let highest = model.highestChangeID(of: call.device)
            return Self.json(
                200,
                """
                {"known_source":\(highest != nil),"next_change_id":\(max(0, highest ?? 0) + 1),\
                "highest_server_seq":\(model.lastSequence),"floor":\(model.floor),"epoch":"\(state.epoch)"}
                """)
        }
    }

    /// What cannot be served truly.
    private func refusal(_ call: Call) -> TransportResponse? {
        state.withLock { state in
            if state.isReference { return nil }
            let model = state.users[call.user] ?? GatewayModel()
            if let epoch = call.epoch, epoch != "\(state.epoch)" {
                return Self.json(409, #"{"error":"epoch_changed","message":"ask /sync/bootstrap"}"#)
            }
            guard let after = call.query["after"].flatMap({ Int($0) }) else { return nil }
            if call.epoch != nil, after > model.lastSequence {
                return Self.json(
                    409, #"{"error":"checkpoint_ahead","message":"start from 0"}"#)
            }
            let reader = "\(call.user)/\(call.device)"
            if after == 0 { state.hydrations[reader] = model.floor }
            guard after > 0, after < model.floor, state.hydrations[reader] != model.floor else {
                return nil
            }
            return Self.json(410, #"{"error":"history_pruned","message":"start from 0"}"#)
        }
    }

    private func upload(_ call: Call) throws -> TransportResponse {
        let changes = try UploadBody.changes(call.body)
        return state.withLock { state in
            if changes.count > state.batchLimit {
                let all = changes.map {
                    Self.status($0, .invalid(reason: "batch_too_large"), showsSource: false)
                }
                return Self.json(200, Self.answer(accepted: false, all))
            }
            var model = state.users[call.user] ?? GatewayModel()
            var statuses = [String](repeating: "", count: changes.count)
            // Upserts come before deletes, whatever the request's order.
            let order =
                changes.indices.filter { !changes[$0].isDelete }
                + changes.indices.filter { changes[$0].isDelete }
            for index in order {
                let change = changes[index]
                let before = model.lastSequence
                var answer: GatewayModel.Answer
                if let reason = state.refusals["\(change.place.table)/\(change.place.pk)"] {
                    answer = .invalid(reason: reason)
                } else {
                    answer = model.apply(change, from: call.device)
                }
                if case .applied = answer, model.lastSequence == before, !state.repeatsVersion {
                    answer = .applied(nil)
                }
                statuses[index] = Self.status(change, answer, showsSource: state.sendsSourceOfRows)
            }
            state.users[call.user] = model
            return Self.json(200, Self.answer(accepted: true, statuses))
        }
    }

    private func download(_ call: Call) -> TransportResponse {
        let model = state.withLock { $0.users[call.user] ?? GatewayModel() }
        let after = Int(call.query["after"] ?? "") ?? 0
        let limit = Int(call.query["limit"] ?? "") ?? 100
        let last = model.lastSequence
        let asked = Int(call.query["until"] ?? "") ?? 0
        let until = asked > 0 ? min(asked, last) : last
        let isForSelf = call.query["include_self"] == "true"
        let found = model.page(
            after: after, until: until, limit: limit, excluding: isForSelf ? nil : call.device)
        let hasMore = found.count > limit
        let page = found.prefix(limit)
        let next = hasMore ? page.last?.sequence ?? after : max(after, until)
        let changes = page.map(Self.change).joined(separator: ",")
        return Self.json(
            200,
            """
            {"changes":[\(changes)],"has_more":\(hasMore),"next_after":\(next),"window_until":\(until)}
            """)
    }

    // MARK: Holding requests

    func waitForNews(_ call: Call) async throws {
        let after = Int(call.query["after"] ?? "") ?? 0
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isNow = state.withLock { state in
                    let log = state.users[call.user]?.log ?? []
                    if Task.isCancelled || log.contains(where: { $0.sequence > after }) {
                        return true
                    }
                    state.waiting[id] = continuation
                    return false
                }
                if isNow { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }

    private func wakeWaiting() {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }
}
