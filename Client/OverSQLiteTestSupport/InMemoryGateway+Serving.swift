import OverSQLite
import Synchronization

extension InMemoryGateway {
    /// The maximum size of a body, in bytes.
    private static let bodyLimit = 16 << 20
    /// The maximum size of a payload, in bytes.
    private static let payloadLimit = 1 << 20

    /// Serves a request, or applies the fault planned for it. A request that waits for new changes
    /// is held until there are some.
    ///
    /// - Throws: ``ConnectionLost``, or what a fault's closure throws; `CancellationError`.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        let call = try Call(request)
        return try await meeting(call) { try await serve(call) }
    }

    /// Records a request. Answers it with the fault planned for it, otherwise with the result of
    /// `serve`.
    func meeting(
        _ call: Call, _ serve: () async throws -> TransportResponse
    ) async throws -> TransportResponse {
        let fault = state.withLock { state -> NetworkFault? in
            state.requests.append(
                Request(
                    path: call.path, query: call.query,
                    body: String(decoding: call.body, as: UTF8.self)))
            return state.plan.fault(at: call.path)
        }
        guard let fault else { return try await serve() }
        return try await fault.meet(serve)
    }

    private func serve(_ call: Call) async throws -> TransportResponse {
        do {
            let route = try route(call)
            let answer = try await route(try caller(call))
            let tables = answer.tables.map { ["oversync-tables": $0] } ?? [:]
            return respond(200, answer.text, call.telling(answer.history).merging(tables) { $1 })
        } catch let error as GatewayError {
            let body = """
                {"error":"\(error.code)","message":\(GatewayAnswer.quoted(error.message)),\
                "request_id":"memory"}
                """
            return respond(error.status, body, error.headers)
        } catch is NotThere {
            return TransportResponse(status: 404, body: Array("404 page not found\n".utf8))
        }
    }

    /// Thrown for a path that a reference server does not know.
    struct NotThere: Error {}

    private func respond(
        _ status: Int, _ text: String, _ headers: [String: String] = [:]
    ) -> TransportResponse {
        let usual = [
            "content-type": "application/json", "oversync-api-version": "1",
            "x-request-id": "memory",
        ]
        return TransportResponse(
            status: status, headers: usual.merging(headers) { $1 }, body: Array((text + "\n").utf8))
    }

    /// An answer with only a content type, for what stands in for a gateway.
    static func json(_ status: Int, _ text: String) -> TransportResponse {
        TransportResponse(
            status: status, headers: ["content-type": "application/json"], body: Array(text.utf8))
    }

    // MARK: Routes

    private typealias Answering = (Call.Caller) async throws -> Answer

    /// The body of an answer.
    struct Answer {
        let text: String
        /// The change of the log to tell with it.
        var history: GatewayHistory?
        /// The tables that the caller may read.
        var tables: String?
    }

    /// The handler for a request.
    private func route(_ call: Call) throws -> Answering {
        let routes: [String: (method: String, answer: Answering)] = [
            "/sync/upload": ("POST", { try self.upload(call, from: $0) }),
            "/sync/download": ("GET", { try await self.download(call, to: $0) }),
            "/sync/bootstrap": ("GET", { try self.bootstrap(call, $0) }),
            "/sync/capabilities": ("GET", { _ in try self.capabilities(call) }),
            "/sync/digest": ("GET", { try self.digest(call, $0) }),
            "/sync/rows": ("POST", { try self.rows(call, $0) }),
            "/sync/keys": ("POST", { _ in try self.leaseKeys(call) }),
            "/sync/schema-version": ("GET", { _ in Answer(text: #"{"schema_version":1}"#) }),
        ]
        guard let route = routes.first(where: { call.path.hasSuffix($0.key) })?.value else {
            throw GatewayError(
                status: 404, code: "not_found", message: "There is nothing at this path")
        }
        guard route.method == call.method else {
            throw GatewayError(
                status: 405, code: "method_not_allowed",
                message: "Only \(route.method) method is allowed",
                headers: ["allow": route.method])
        }
        return route.answer
    }

    private func caller(_ call: Call) throws(GatewayError) -> Call.Caller {
        guard let header = call.authorization else {
            throw .unauthenticated("Authorization header required")
        }
        guard let token = Call.bearer(header) else {
            throw .unauthenticated("Invalid authorization header format")
        }
        guard let caller = call.caller else { throw .unauthenticated("Invalid token") }
        if state.withLock({ $0.expiredTokens.contains(token) }) {
            throw .unauthenticated("token is expired")
        }
        return caller
    }

    // MARK: Bootstrap and capabilities

    private func bootstrap(_ call: Call, _ caller: Call.Caller) throws -> Answer {
        try state.withLock { state in
            if state.isReference { throw NotThere() }
            try GatewayAccess.check(call.tables)
            let model = state.store.users[caller.user] ?? GatewayModel()
            let highest = model.highestChangeID(of: caller.device)
            let finding = try call.told.map { #","history":"\#(model.finding($0))""# } ?? ""
            let text = """
                {"known_source":\(highest != nil),"next_change_id":\(max(0, highest ?? 0) + 1),\
                "highest_server_seq":\(model.lastSequence),"floor":\(model.floor),\
                "epoch":"\(Self.epoch(state))"\(finding)}
                """
            return Answer(
                text: text, history: model.history(at: model.lastSequence),
                tables: state.tables(of: call))
        }
    }

    private func capabilities(_ call: Call) throws -> Answer {
        try state.withLock { state in
            if state.isReference { throw NotThere() }
            try GatewayAccess.check(call.tables)
            let open = (state.store.tables.all ?? []).filter {
                state.mayRead($0.name, call)
            }
            let tables = open.map { table in
                let leases = table.key == .integer ? #","leases_keys":true"# : ""
                return """
                    {"schema":"\(state.store.schema)","table":"\(table.name)",\
                    "key_kind":"\(table.key.kind)","read":true,"write":true\(leases)}
                    """
            }
            let text = """
                {"api_versions":[1],\
                "features":["atomic","bootstrap","digest","epoch","history","keys","wait"],\
                "limits":\
                {"changes_per_upload":\(state.batchLimit),"bytes_per_payload":\(Self.payloadLimit),\
                "bytes_per_body":\(Self.bodyLimit),"rows_per_page":\(PageQuery.maximumRows),\
                "wait_seconds":\(PageQuery.maximumWait)},"tables":[\(tables.joined(separator: ","))]\(state.readable(of: call))}
                """
            return Answer(text: text, tables: state.tables(of: call))
        }
    }

    static func epoch(_ state: State) -> String {
        let digits = String(state.epoch)
        return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count)
            + digits
    }

    /// Checks the epoch and the cursor of a request.
    ///
    /// - Parameter after: the cursor of a download.
    static func check(
        _ call: Call, after: Int, of caller: Call.Caller, in state: inout State
    ) throws(GatewayError) {
        if state.isReference { return }
        let model = state.store.users[caller.user] ?? GatewayModel()
        let told = try call.told
        let finding = told.map(model.finding)
        if let epoch = call.epoch {
            guard epoch.count == 36 else {
                throw .invalid("Oversync-Epoch must be the epoch that /sync/bootstrap gave")
            }
            guard epoch.lowercased() == Self.epoch(state) else {
                throw GatewayError(
                    status: 409, code: "epoch_changed",
                    message:
                        "The server's history is another one since it was restored; read /sync/bootstrap and download from 0"
                )
            }
            if finding == "forked" { throw .historyForked }
            guard after <= model.lastSequence else {
                throw GatewayError(
                    status: 409, code: "checkpoint_ahead",
                    message:
                        "The cursor \(after) is beyond the log's end \(model.lastSequence): the server was restored; start from 0"
                )
            }
        }
        if finding == "forked" { throw .historyForked }
        guard after > 0, after < model.floor, state.hydrations[caller] != model.floor else {
            if finding == "unproven" { throw .historyUnproven }
            return
        }
        throw GatewayError(
            status: 410, code: "history_pruned",
            message:
                "Deletes before \(model.floor) are no longer kept, and the cursor is \(after): start from 0"
        )
    }

    // MARK: Uploads

    private func upload(_ call: Call, from caller: Call.Caller) throws -> Answer {
        guard call.body.count <= Self.bodyLimit else {
            throw GatewayError(
                status: 413, code: "payload_too_large",
                message:
                    "The body is larger than \(Self.bodyLimit) bytes; send fewer changes at once")
        }
        let atomic = call.query["atomic"] ?? "false"
        guard ["true", "false"].contains(atomic) else {
            throw GatewayError.invalid("atomic must be true or false")
        }
        defer { wakeWaiting() }
        return try state.withLock { state in
            try Self.check(call, after: 0, of: caller, in: &state)
            let changes = try UploadBody(
                changeLimit: state.batchLimit, payloadLimit: Self.payloadLimit,
                schema: state.store.schema, tables: state.store.tables,
                isOpen: { [access = state.access] in access.mayRead($0, caller.user) },
                asksForIntegers: call.asksForIntegers
            ).changes(call.body)
            let before = state.store.users[caller.user]?.lastSequence ?? 0
            let answers = state.store.upload(
                changes.map(\.verdict), user: caller.user, device: caller.device,
                isAtomic: atomic == "true")
            let log = state.store.users[caller.user]?.log ?? []
            let news = Set(log.filter { $0.sequence > before }.map(\.changeID))
            let statuses = zip(changes, answers).map { change, answer in
                let place = (try? change.verdict.get())?.place
                let isRepeat = answer.isApplied && !news.contains(change.id)
                return (
                    id: change.id,
                    answer: state.isReference && isRepeat ? .applied(nil) : answer,
                    table: place?.table ?? "", pk: place?.pk ?? ""
                )
            }
            let end = state.store.users[caller.user]?.lastSequence ?? 0
            let text = GatewayAnswer.upload(
                statuses, schema: state.store.schema, highest: end,
                isReference: state.isReference)
            return Answer(
                text: text,
                history: state.isReference
                    ? nil : state.store.users[caller.user]?.history(at: end))
        }
    }

    // MARK: Pages

    private func download(_ call: Call, to caller: Call.Caller) async throws -> Answer {
        let query = try PageQuery(call.query)
        try state.withLock { state in
            try GatewayAccess.check(call.tables)
            try Self.check(call, after: query.after, of: caller, in: &state)
            if query.after == 0 {
                state.hydrations[caller] = state.store.users[caller.user]?.floor ?? 0
            }
        }
        let isHeld = query.until == nil && query.wait > 0 && state.withLock { !$0.isReference }
        if isHeld { try await waitForNews(query, caller, call) }
        return state.withLock { state in
            let model = state.store.users[caller.user] ?? GatewayModel()
            let until = model.window(until: query.until)
            var (page, hasMore) = Self.entries(query, caller, call, model, state)
            if !query.isForSelf, call.epoch == nil {
                // Clients that know no epoch skip changes of their own.
                for index in page.indices where page[index].source == caller.device {
                    page[index].source = ""
                }
            }
            let next = hasMore ? page.last?.sequence ?? query.after : max(query.after, until)
            let text = GatewayAnswer.page(
                page, schema: state.store.schema, hasMore: hasMore, next: next, until: until)
            return Answer(
                text: text,
                history: state.isReference
                    ? nil : model.history(at: until) ?? model.history(at: model.lastSequence),
                tables: state.tables(of: call))
        }
    }

    private static func entries(
        _ query: PageQuery, _ caller: Call.Caller, _ call: Call, _ model: GatewayModel,
        _ state: State
    ) -> (entries: [GatewayModel.Entry], hasMore: Bool) {
        guard query.schema == nil || query.schema == state.store.schema else { return ([], false) }
        return model.page(
            after: query.after, until: model.window(until: query.until),
            limit: query.limit, excluding: query.isForSelf ? nil : caller.device,
            of: { table in
                state.mayRead(table, call) && query.tables?.contains(table) != false
            })
    }

    // MARK: Holding requests

    /// Returns when the page has a change, when the tables are others than the device takes for
    /// readable, or when the wait is over.
    private func waitForNews(
        _ query: PageQuery, _ caller: Call.Caller, _ call: Call
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.hold(query, caller, call) }
            if let clock {
                group.addTask { try await clock.sleep(seconds: Double(query.wait)) }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
        try Task.checkCancellation()
    }

    /// Returns when the user's log has grown beyond the call's cursor, through any device's change.
    func waitForNews(_ call: Call) async throws {
        guard let caller = call.caller else { return }
        var parameters = call.query
        parameters["include_self"] = "true"
        try await hold(PageQuery(parameters), caller, call)
    }

    private func hold(_ query: PageQuery, _ caller: Call.Caller, _ call: Call) async throws {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        var hasNews = false
        while !hasNews {
            try Task.checkCancellation()
            hasNews = await withTaskCancellationHandler {
                await nextNews(query, caller, call, waiter: id)
            } onCancel: {
                state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
            }
        }
    }

    /// Waits for the next write, unless there is already a change.
    private func nextNews(
        _ query: PageQuery, _ caller: Call.Caller, _ call: Call, waiter id: UInt64
    ) async -> Bool {
        var hasNews = false
        await withCheckedContinuation { continuation in
            let isNow = state.withLock { state in
                let model = state.store.users[caller.user] ?? GatewayModel()
                let found = Self.entries(query, caller, call, model, state)
                hasNews = !found.entries.isEmpty || state.areOthers(call)
                if hasNews || Task.isCancelled { return true }
                state.waiting[id] = continuation
                return false
            }
            if isNow { continuation.resume() }
        }
        return hasNews
    }

    func wakeWaiting() {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }
}
