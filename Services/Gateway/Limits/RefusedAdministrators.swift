import HTTPTypes
import LogFields
import Logging
import Protos
import RPC
import ServiceLifecycle
import Synchronization
import Waiting

/// Has Upload add to the audit who asked for what administrators see without their role. The answer
/// does not wait for that.
final class RefusedAdministrators: Service {
    /// Refusals that wait while Upload does not answer.
    private static let maximumWaiting = 64
    /// Longest time to record one.
    private static let recordTime: Duration = .seconds(5)

    private struct Refusal {
        let request: RecordRefusalRequest
        let context: CallContext
    }

    private let upload: RPCClient
    private let logger: Logger
    private let records = Mutex(RecordBudget(now: .now))
    private let waiting: AsyncStream<Refusal>
    private let continuation: AsyncStream<Refusal>.Continuation

    init(upload: RPCClient, logger: Logger) {
        self.upload = upload
        self.logger = logger
        (waiting, continuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.maximumWaiting))
    }

    /// - Parameter code: of the error that is answered.
    func record(_ route: Route, _ code: String, _ context: CallContext) {
        guard let leftOut = records.withLock({ $0.add(now: .now) }) else { return }
        var request = RecordRefusalRequest()
        request.route = "\(route.method.rawValue) \(route.path)"
        request.code = code
        request.leftOut = UInt32(clamping: leftOut)
        guard case .enqueued = continuation.yield(Refusal(request: request, context: context))
        else { return lose(request) }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await refusal in self.waiting { await self.tell(refusal) }
        }
        // What ends early would end the process.
        try? await gracefulShutdown()
    }

    private func tell(_ refusal: Refusal) async {
        var context = refusal.context
        context.deadline = .now + Self.recordTime
        do {
            _ = try await upload.call(
                UploadRPC.recordRefusal, refusal.request, context: context)
        } catch {
            lose(refusal.request)
            logger.warning(
                "a refused administrator could not be recorded",
                metadata: .fields([
                    .requestID: "\(context.requestID)", .route: "\(refusal.request.route)",
                    .error: "\(error)",
                ]))
        }
    }

    private func lose(_ request: RecordRefusalRequest) {
        records.withLock { $0.lose(1 + Int(request.leftOut)) }
    }
}
