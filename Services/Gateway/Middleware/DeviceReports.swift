import HTTPTypes
import Hummingbird
import Model
import Protos
import RPC
import ServiceLifecycle
import Synchronization
import Telemetry

extension HTTPField.Name {
    /// What a device says of itself.
    static let report = Self("Oversync-Report")!
}

/// Passes on to Upload what devices say of themselves, and of whom tokens were rejected. No answer
/// waits for that, and what is lost is only counted.
///
/// What comes with an upload goes with it.
final class DeviceReports: Service {
    /// What waits while Upload does not answer.
    private static let maximumWaiting = 1024
    /// Longest time to pass something on.
    private static let callTime: Duration = .seconds(2)
    /// The gateway reports a device's rejected token once in this time: its bearer may send it as
    /// often as he likes.
    static let rejectionPause: Duration = .seconds(30)
    /// The most devices whose last rejection is remembered. Others are not reported meanwhile.
    private static let maximumRemembered = 10_000

    private struct Message {
        let request: ReportDeviceRequest
        let context: CallContext
    }

    private struct Place: Hashable {
        let user: UserID
        let device: DeviceID
    }

    private let upload: RPCClient
    private let lost: Counter
    private let rejections = Mutex<[Place: ContinuousClock.Instant]>([:])
    private let waiting: AsyncStream<Message>
    private let continuation: AsyncStream<Message>.Continuation

    init(upload: RPCClient, metrics: MetricsRegistry) {
        self.upload = upload
        lost = metrics.counter(
            "oversync_gateway_lost_reports_total",
            "Devices' reports, and rejections of their tokens, that did not get to Upload")
        (waiting, continuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.maximumWaiting))
    }

    /// The header's value; nil where there is none. Upload reads it.
    static func header(of request: Request) -> String? {
        guard let header = request.headers[.report], !header.isEmpty else { return nil }
        // What is too long is not carried on, and is as malformed without its end.
        return header.utf8.count <= DeviceReport.maximumBytes ? header : "too long"
    }

    /// Takes what came with a device's request.
    func take(_ request: Request, _ route: Route, _ scope: RequestScope) {
        guard route.path != "/sync/upload", let header = Self.header(of: request) else { return }
        var message = ReportDeviceRequest()
        message.report = header
        pass(message, scope.context())
    }

    /// - Parameter caller: the token's; without a device where a header names that.
    func take(_ caller: CallerIdentity, rejectedFor cause: TokenRejection.Cause) {
        guard !caller.device.isEmpty, isNew(caller) else { return }
        var message = ReportDeviceRequest()
        message.rejection = cause.rawValue
        pass(
            message,
            CallContext(
                requestID: "rejected-token", deadline: .now + Self.callTime,
                caller: CallerIdentity(user: caller.user, device: caller.device)))
    }

    private func isNew(_ caller: CallerIdentity) -> Bool {
        let place = Place(user: caller.userID, device: caller.deviceID)
        let now = ContinuousClock.now
        return rejections.withLock { rejections in
            if let last = rejections[place], now - last < Self.rejectionPause { return false }
            if rejections.count >= Self.maximumRemembered {
                rejections = rejections.filter { now - $0.value < Self.rejectionPause }
                guard rejections.count < Self.maximumRemembered else { return false }
            }
            rejections[place] = now
            return true
        }
    }

    private func pass(_ request: ReportDeviceRequest, _ context: CallContext) {
        guard
            case .enqueued = continuation.yield(Message(request: request, context: context))
        else { return lost.add() }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await message in self.waiting { await self.tell(message) }
        }
        // What ends early would end the process.
        try? await gracefulShutdown()
    }

    private func tell(_ message: Message) async {
        var context = message.context
        context.deadline = .now + Self.callTime
        do {
            _ = try await upload.call(UploadRPC.reportDevice, message.request, context: context)
        } catch {
            // Such as by an Upload of the version before, which does not know the call.
            lost.add()
        }
    }
}
