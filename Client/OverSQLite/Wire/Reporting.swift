import Foundation

/// How a device tells the server of itself: in a header of requests that it makes anyway.
struct Reporting: Sendable {
    private static let header = "Oversync-Report"

    /// What to say with a request; nil if it is not time to say anything. The argument says whether
    /// the request is an upload.
    var report: @Sendable (Bool) async -> String? = { _ in nil }
    /// Called when the server has been told.
    var told: @Sendable () -> Void = {}

    func adding(to request: TransportRequest) async -> TransportRequest {
        let isUpload = request.method == "POST" && request.url.path.hasSuffix("/sync/upload")
        guard let text = await report(isUpload) else { return request }
        var request = request
        request.headers[Self.header] = text
        return request
    }

    /// A server that does not take the token, or has no time, has not read the report.
    func record(_ response: TransportResponse, to request: TransportRequest) {
        guard request.headers[Self.header] != nil, response.status < 500, response.status != 401,
            response.status != 429
        else { return }
        told()
    }
}
