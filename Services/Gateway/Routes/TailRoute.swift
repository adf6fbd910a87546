import HTTPTypes
import Hummingbird
import Model
import WireJSON

/// `/admin/requests`: what happens now, for administrators who ask again and again.
struct TailRoute: Sendable {
    static let path = "/admin/requests"
    /// Requests listed when no number is given.
    private static let defaultLimit = 100
    private static let maximumLimit = 1000

    let recent: RecentRequests

    var routes: [Route] {
        [
            Route(.get, Self.path, for: .administrators) { request, _ in
                try look(request)
            }
        ]
    }

    private func look(_ request: Request) throws(WireError) -> Response {
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
        var filter = RecentRequests.Filter()
        filter.user = try identity("user").map { UserID($0) }
        filter.device = try identity("device").map { DeviceID($0) }
        if let text = parameters["status"], !text.isEmpty {
            guard let statuses = Self.statuses(text) else {
                throw .invalid("status must be one, such as 404, or a class, such as 4xx")
            }
            filter.statuses = statuses
        }
        filter.hasIdle = parameters["idle"] == "true"
        // The numbers of another gateway, or of one that was started again, say nothing here.
        let isOurs = parameters["run"].map { $0 == recent.run } ?? true
        let cursor = try number("after", 0...Int64.max)
        let limit = try number("limit", 1...Int64(Self.maximumLimit)) ?? Int64(Self.defaultLimit)
        let look = recent.look(after: isOurs ? cursor : nil, filter, limit: Int(limit))
        return .json(
            .ok,
            [
                "run": .string(recent.run), "last": .integer(look.last),
                "missed": .integer(look.missed),
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
