import HTTPTypes
import Hummingbird
import Model
import Protos
import RPC
import ServiceKit
import Synchronization
import WireJSON

/// `/admin/requests`: what happens now, for administrators who ask again and again.
struct TailRoute: Sendable {
    private static let path = "/admin/requests"
    /// Requests listed when no number is given.
    private static let defaultLimit = 100
    private static let maximumLimit = 1000

    /// The name of this gateway.
    let gateway: String
    let recent = RecentRequests()
    let upload: RPCClient
    private let visits = TailVisits()

    init(gateway: String, upload: RPCClient) {
        self.gateway = gateway
        self.upload = upload
    }

    var routes: [Route] {
        [
            Route(.get, Self.path, for: .administrators) { request, scope in
                let question = try question(in: request)
                try await record(scope)
                return answer(question)
            }
        ]
    }

    /// Has Upload add the visit to the audit before anything is shown.
    private func record(_ scope: RequestScope) async throws {
        let context = scope.context()
        let administrator = UserID(try context.requiredCaller().user)
        if visits.goesOn(of: administrator, now: .now) { return }
        var message = InspectRequest()
        message.view = .requests
        message.key = gateway
        _ = try await upload.call(UploadRPC.inspect, message, context: context)
        visits.begin(of: administrator, now: .now)
    }

    private struct Question {
        var filter = RecentRequests.Filter()
        /// The last request that was seen.
        var cursor: Int64?
        var limit = TailRoute.defaultLimit
    }

    private func question(in request: Request) throws(WireError) -> Question {
        let parameters = request.uri.queryParameters
        func identity(_ name: String) throws(WireError) -> String? {
            guard let text = parameters[name[...]], !text.isEmpty else { return nil }
            guard !text.contains("\0") else {
                throw .invalid("\(name) must be text without the character NUL")
            }
            return String(text)
        }
        func number(
            _ name: String, _ range: ClosedRange<Int64>
        ) throws(WireError) -> Int64? {
            guard let text = parameters[name[...]], !text.isEmpty else { return nil }
            guard let number = Int64(text), range.contains(number) else {
                throw .invalid(
                    "\(name) must be between \(range.lowerBound) and \(range.upperBound)")
            }
            return number
        }
        var question = Question()
        question.filter.user = try identity("user").map { UserID($0) }
        question.filter.device = try identity("device").map { DeviceID($0) }
        if let text = parameters["status"], !text.isEmpty {
            guard let statuses = Self.statuses(text) else {
                throw .invalid("status must be one, such as 404, or a class, such as 4xx")
            }
            question.filter.statuses = statuses
        }
        switch parameters["idle"] ?? "" {
        case "true": question.filter.hasIdle = true
        case "", "false": break
        default: throw .invalid("idle must be true or false")
        }
        let cursor = try number("after", 0...Int64.max)
        // The numbers of another gateway, or of one that was started again, say nothing here.
        let isOurs = parameters["run"].map { $0 == recent.run } ?? true
        question.cursor = isOurs ? cursor : nil
        if let limit = try number("limit", 1...Int64(Self.maximumLimit)) {
            question.limit = Int(limit)
        }
        return question
    }

    private func answer(_ question: Question) -> Response {
        let look = recent.look(
            after: question.cursor, question.filter, limit: question.limit)
        return .json(
            .ok,
            [
                "gateway": .string(gateway), "run": .string(recent.run),
                "last": .integer(look.last), "missed": .integer(look.missed),
                "requests": .array(look.lines.map { $0.line.document($0.number) }),
            ])
    }

    /// The statuses that a filter means.
    ///
    /// - Parameter text: such as `404` or `4xx`.
    static func statuses(_ text: Substring) -> ClosedRange<Int>? {
        guard text.utf8.count == 3, let first = text.utf8.first, (0x31...0x35).contains(first)
        else { return nil }
        let hundreds = Int(first - 0x30) * 100
        if text.hasSuffix("xx") { return hundreds...(hundreds + 99) }
        guard let status = Int(text) else { return nil }
        return status...status
    }
}

/// Who looks at the last requests now. A visit is many looks, and one row of the audit.
final class TailVisits: Sendable {
    /// The longest time between two looks of one visit.
    static let longestPause: Duration = .seconds(300)
    /// Administrators whose visits are remembered. With more of them visits are recorded again.
    static let capacity = 256

    private let lastLooks = Mutex<[UserID: ContinuousClock.Instant]>([:])

    /// Whether this look belongs to a visit that was recorded.
    func goesOn(of administrator: UserID, now: ContinuousClock.Instant) -> Bool {
        lastLooks.withLock { looks in
            guard let last = looks[administrator], now - last <= Self.longestPause
            else { return false }
            looks[administrator] = now
            return true
        }
    }

    func begin(of administrator: UserID, now: ContinuousClock.Instant) {
        lastLooks.withLock { looks in
            looks = looks.filter { now - $0.value <= Self.longestPause }
            if looks.count >= Self.capacity { looks.removeAll() }
            looks[administrator] = now
        }
    }
}
