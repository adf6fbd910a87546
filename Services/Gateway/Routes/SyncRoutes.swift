import HTTPTypes
import Hummingbird
import HummingbirdCore
import Model
import NIOCore
import NIOPosix
import Protos
import RPC

/// `/sync/*`: bodies go through unread, parameters are read and checked here.
struct SyncRoutes: Sendable {
    /// The newest schema version that clients of this protocol know.
    private static let schemaVersion = 1

    let upload: RPCClient
    let download: RPCClient
    let bodies: BodyReader
    let work: LongWork
    let longPolls: LongPolls
    let maximumPageRows: Int

    var routes: [Route] {
        [
            Route(.post, "/sync/upload", for: .users) { try await pushChanges($0, $1) },
            Route(.get, "/sync/download", for: .users) { try await pullChanges($0, $1) },
            Route(.post, "/sync/keys", for: .users) { try await leaseKeys($0, $1) },
            Route(.get, "/sync/schema-version", for: .users) { _, _ in
                .json(#"{"schema_version":\#(Self.schemaVersion)}"#)
            },
        ]
    }

    private func pushChanges(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = PushChangesRequest()
        message.atomic = try Self.flag(request.uri.queryParameters["atomic"], "atomic")
        message.epoch = try request.epoch
        if let pair = try request.history {
            (message.historySeq, message.historyTag) = (pair.sequence, pair.tag)
        }
        message.report = DeviceReports.header(of: request) ?? ""
        let type = BodyType(contentType: request.headers[.contentType])
        message.asProtobuf = type == .protobuf
        let body = try await bodies.body(of: request, scope)
        let reply = try await upload.call(
            UploadRPC.pushChanges, message, body: body, context: scope.context())
        let told = reply.message
        scope.counts.set(
            .changes(
                applied: told.applied, duplicates: told.duplicates, conflicts: told.conflicts,
                invalid: told.invalid, rejected: told.materializeErrors))
        // It is written: its answer is not refused any more.
        scope.held?.holdAnyway(reply.body.readableBytes)
        var response = await answer(reply.body, type, request, scope)
        response.tell(history: reply.message.historySeq, reply.message.historyTag)
        return response
    }

    private func leaseKeys(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let body = try await bodies.body(of: request, scope)
        let reply = try await upload.call(
            UploadRPC.leaseKeys, LeaseKeysRequest(), body: body, context: scope.context())
        scope.held?.holdAnyway(reply.body.readableBytes)
        return await answer(reply.body, .json, request, scope)
    }

    private func answer(
        _ body: ByteBuffer, _ type: BodyType, _ request: Request, _ scope: RequestScope
    ) async -> Response {
        scope.held?.answer(body.readableBytes)
        return await .sync(body, type, for: request, work, of: scope.caller?.userID)
    }

    /// A word that would be taken for no is a mistake that loses what was asked for.
    private static func flag(_ text: Substring?, _ name: String) throws(WireError) -> Bool {
        switch text {
        case nil, "false": return false
        case "true": return true
        default: throw .invalid("\(name) must be true or false")
        }
    }

    private func pullChanges(_ request: Request, _ scope: RequestScope) async throws -> Response {
        var message = try DownloadQuery(
            request.uri.queryParameters, maximumRows: maximumPageRows
        ).message
        message.epoch = try request.epoch
        if let pair = try request.history {
            (message.historySeq, message.historyTag) = (pair.sequence, pair.tag)
        }
        message.readable = try request.readable
        let type = BodyType(accept: request.headers[.accept])
        message.asProtobuf = type == .protobuf
        // A poll that waits may do so for a minute: it holds nothing before its page is there.
        let estimate = message.waitSeconds > 0 ? 0 : Int(message.limit) * HeldBytes.bytesPerRow
        try scope.held?.hold(estimate, leavesRoom: true)
        let reply = try await page(message, scope)
        scope.waited.add(microseconds: reply.message.waitedUs)
        scope.counts.set(.rows(reply.message.rows))
        if reply.message.rows == 0, !reply.message.hasMore_p { scope.waited.foundNothing() }
        // What does not fit is let go, and has cost the user its bytes all the same: else it could
        // be asked for again and again.
        scope.held?.answer(reply.body.readableBytes)
        try scope.held?.hold(reply.body.readableBytes)
        var response = await answer(reply.body, type, request, scope)
        response.tell(history: reply.message.historySeq, reply.message.historyTag)
        response.tell(tables: reply.message.readable)
        return response
    }

    /// A page, waited for as long as the request says. The page as it is then when the gateway goes
    /// down meanwhile, the client sends no more, or its device has too many other polls.
    private func page(
        _ message: PullChangesRequest, _ scope: RequestScope
    ) async throws -> RPCReply<PullChangesReply> {
        let context = scope.context(waiting: .seconds(Int(message.waitSeconds)))
        guard message.waitSeconds > 0, let admission = scope.admission else {
            return try await download.call(DownloadRPC.pullChanges, message, context: context)
        }
        let place = try scope.caller.map { caller throws(WireError) in
            try longPolls.enter(caller)
        }
        defer { withExtendedLifetime(place) {} }
        let executor = MultiThreadedEventLoopGroup.currentEventLoop.map(EventLoopExecutor.of)
        let waiting = Task(executorPreference: executor) {
            try await download.call(DownloadRPC.pullChanges, message, context: context)
        }
        let began = ContinuousClock.now
        admission.begin(.waiting) { waiting.cancel() }
        admission.whenClientLeaves { _ in waiting.cancel() }
        place?.whenReplaced { waiting.cancel() }
        do {
            let page = try await withTaskCancellationHandler {
                try await waiting.value
            } onCancel: {
                waiting.cancel()
            }
            admission.goOn()
            return page
        } catch let failure as RPCFailure where failure.status == .cancelled {
            // The wait is not the server's time, also if nobody reads the answer.
            scope.waited.add(.now - began)
            // Nobody is there for an answer.
            if admission.client == .gone { throw WireError.clientGone }
            let isOver = admission.isDraining || admission.client == .silent
            guard isOver || place?.isReplaced == true else { throw failure }
            var message = message
            message.waitSeconds = 0
            var context = context
            context.deadline = .now + DrainMachine.waitingTime
            return try await download.call(DownloadRPC.pullChanges, message, context: context)
        }
    }
}

/// The parameters of a download, checked in the order and with the words that existing clients know.
struct DownloadQuery {
    let message: PullChangesRequest

    init(
        _ parameters: FlatDictionary<Substring, Substring>, maximumRows: Int
    ) throws(WireError) {
        var message = PullChangesRequest()
        message.limit = Int32(min(WireLimits.defaultRowsPerPage, maximumRows))
        message.after = try Self.cursor(parameters["after"], "after")
        if let limit = parameters["limit"], !limit.isEmpty {
            guard let value = Int64(limit) else { throw .invalid("limit must be an integer") }
            guard (1...Int64(maximumRows)).contains(value) else {
                throw .invalid("limit must be between 1 and \(maximumRows)")
            }
            message.limit = Int32(value)
        }
        message.schema = try Self.schema(parameters["schema"])
        message.tables = try Self.tables(parameters["tables"])
        message.until = try Self.cursor(parameters["until"], "until")
        if let wait = parameters["wait"], !wait.isEmpty {
            guard let value = Int64(wait),
                (0...Int64(WireLimits.maximumWaitSeconds)).contains(value)
            else {
                throw .invalid(
                    "wait must be between 0 and \(WireLimits.maximumWaitSeconds) seconds")
            }
            message.waitSeconds = UInt32(value)
        }
        message.includeSelf = parameters["include_self"] == "true"
        message.fresh = parameters["fresh"] == "true"
        self.message = message
    }

    /// The most tables that a page can be asked of; who wants more asks for all.
    static let maximumTables = 100

    /// The name of a schema; empty when it is not given.
    static func schema(_ text: Substring?) throws(WireError) -> String {
        guard let text, !text.isEmpty else { return "" }
        guard isWireIdentifier(text) else { throw .invalid("invalid schema name") }
        return String(text)
    }

    /// Names with commas between; none when it is not given.
    static func tables(_ text: Substring?) throws(WireError) -> [String] {
        guard let text, !text.isEmpty else { return [] }
        let names = text.split(separator: ",", omittingEmptySubsequences: false)
        guard names.count <= maximumTables, names.allSatisfy({ isWireIdentifier($0) }) else {
            throw .invalid("tables must be at most \(maximumTables) names with commas between")
        }
        return names.map(String.init)
    }

    /// A place in a change log; 0 when it is not given.
    static func cursor(_ text: Substring?, _ name: String) throws(WireError) -> Int64 {
        guard let text, !text.isEmpty else { return 0 }
        guard let value = Int64(text) else { throw .invalid("\(name) must be an integer") }
        guard value >= 0 else { throw .invalid("\(name) must be >= 0") }
        // A window's end may be any: a larger one is lowered to the log's.
        guard value <= WireNumber.maximum || name != "after" else {
            throw .invalid("\(name) must be at most \(WireNumber.maximum)")
        }
        return value
    }
}
