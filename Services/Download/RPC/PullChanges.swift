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
import Traces

/// The `PullChanges` call: a cursor in, a page out, one log line about both.
struct PullChanges: Sendable {
    let reader: PageReader
    let turns: PageTurns
    let heads: ScopeHeads
    let hydrations: any HydrationNotes
    let limits: WireLimits
    let metrics: DownloadMetrics
    let logger: Logger
    /// Nil where there are no standbys.
    var standbys: StandbyPages?
    /// Which of the pages without news are logged.
    var idlePolls = LogSample(every: 1)

    func callAsFunction(
        _ request: PullChangesRequest, _ body: ByteBuffer, _ context: CallContext
    ) async throws -> RPCReply<PullChangesReply> {
        let caller = try context.requiredCaller()
        let page = PageRequest(
            request, user: UserID(caller.user), device: DeviceID(caller.device),
            roles: caller.roles, keyKinds: caller.knownKeyKinds, limits: limits)
        let start = ContinuousClock.now
        var waited: Duration = .zero
        do {
            let answer = try await pull(page, context, &waited)
            metrics.count(answer, after: .now - start - waited)
            log(answer, page, context, .now - start)
            var reply = answer.reply
            reply.waitedUs = UInt64(max(0, waited / .microseconds(1)))
            return RPCReply(reply, body: answer.body)
        } catch let error as PostgresError {
            metrics.countFailure(after: .now - start - waited)
            logger.warning(
                "download failed",
                metadata: .fields([
                    .requestID: .string(context.requestID),
                    .user: .string(userHash(caller.user)),
                    .source: .string(caller.device), .error: "\(error)",
                ]))
            throw DatabaseFailures.download.failure(of: error)
        }
    }

    /// The page; when it would be empty and the caller asked to wait, the first that is not, or the last one
    /// when the time is over.
    ///
    /// - Parameter waited: how long it waited for news.
    private func pull(
        _ request: PageRequest, _ context: CallContext, _ waited: inout Duration
    ) async throws -> Page {
        _ = try await reader.source.catalog(for: request, context.deadline)
        var page = try await page(request, context)
        let end = min(ContinuousClock.now + request.wait, context.deadline - .milliseconds(200))
        while page.rows == 0, !page.hasMore, request.until == nil, .now < end,
            page.readable == request.readable
        {
            let parked = ContinuousClock.now
            let hasNews = try await heads.wait(
                for: request.user, request.device, beyond: page.scope.head, page.scope.tag,
                until: end)
            waited += .now - parked
            guard hasNews else { break }
            page = try await self.page(request, context)
        }
        if waited > .zero { metrics.count(wait: waited, for: page.firstChange) }
        return page
    }

    /// The page as it is now, without the database where this replica knows that it is empty: but
    /// for what plain SQL wrote a moment ago, which it notices at its next look. A window that ends
    /// later than the log does here is of a replica that has noticed.
    private func page(_ request: PageRequest, _ context: CallContext) async throws -> Page {
        let cursor = request.cursor
        if !request.isFresh, let scope = heads.known(request.user, for: request.device),
            request.until ?? 0 <= scope.head,
            request.window(of: scope)...scope.head ~= request.after,
            !cursor.isBelowFloor(of: scope), request.isProven(by: scope)
        {
            try cursor.check(ScopeReading(state: scope, hydratedFrom: nil))
            var page = Page(emptyFor: request, scope)
            page.isFromMemory = true
            page.tellTables(of: reader.source.known, to: request)
            if request.tellsHistory, page.windowUntil == scope.head { page.history = scope.end }
            return page
        }
        let page = try await readPage(request, context)
        // The device's next cursor may be below the floor: that it began at 0 must be on record before it has one.
        if request.after == 0, page.hasMore, page.scope.floor > 0 {
            try await hydrations.record(floor: page.scope.floor, context)
            try await reader.expectHydration(
                of: request.user, request.device, from: page.scope.floor,
                deadline: context.deadline)
        }
        return page
    }

    /// From a standby, where it holds what the reader is owed.
    private func readPage(_ request: PageRequest, _ context: CallContext) async throws -> Page {
        if let page = try await standbys?.read(request, deadline: context.deadline) { return page }
        let asked = ContinuousClock.now
        let page = try await turns.read(request, with: reader, deadline: context.deadline)
        heads.learn(page.scope, of: request.user, .admits(request.device), asked: asked)
        return page
    }

    private func log(
        _ page: Page, _ request: PageRequest, _ context: CallContext, _ duration: Duration
    ) {
        var metadata: Logger.Metadata = .fields([
            .requestID: .string(context.requestID), .user: .string(userHash(request.user.value)),
            .source: .string(request.device.value), .after: .stringConvertible(request.after),
            .nextAfter: .stringConvertible(page.nextAfter),
            .until: .stringConvertible(page.windowUntil),
            .limit: .stringConvertible(request.limit),
            .hasMore: .stringConvertible(page.hasMore),
            .rows: .stringConvertible(page.rows),
            .milliseconds: .stringConvertible(duration.milliseconds),
        ])
        if let trace = context.trace { metadata[.traceparent] = .string(trace.traceparent) }
        if page.hasHole {
            metrics.countHole()
            logger.error(
                "the log lacks a change that a device knows of; oversync verify names it",
                metadata: metadata)
        }
        guard page.leftOut == 0 else {
            metadata[.leftOut] = .stringConvertible(page.leftOut)
            return logger.warning(
                "download without rows that are too large for devices; oversync verify names them",
                metadata: metadata)
        }
        let level = page.isIdle ? idlePolls.level() : .info
        logger.log(level: level, "download", metadata: metadata)
    }
}

extension Page {
    /// The page's numbers.
    var reply: PullChangesReply {
        var reply = PullChangesReply()
        reply.nextAfter = nextAfter
        reply.windowUntil = windowUntil
        reply.hasMore_p = hasMore
        reply.rows = UInt32(clamping: rows)
        reply.readable = readable ?? ""
        if let end = history {
            reply.historySeq = end.sequence
            reply.historyTag = end.tag
        }
        return reply
    }
}
