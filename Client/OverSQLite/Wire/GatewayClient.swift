import Foundation
import WireJSON

/// Speaks the protocol over a transport: paths, credentials, and which answers mean what.
struct GatewayClient: Sendable {
    let base: URL
    let schema: String
    let transport: any HTTPTransport
    /// The server's history that this device's cursor and versions belong to, if it has one.
    let epoch: @Sendable () -> String?
    let credentials: @Sendable () async throws -> String
    /// Sees each token before it is used; throws if it must not be.
    let identify: @Sendable (TokenClaims) async throws -> Void

    enum UploadResult {
        case answer(UploadAnswer)
        /// The body was over the gateway's limit.
        case tooLarge
        /// The gateway does not take compressed bodies after all.
        case notCompressed
    }

    /// Largest answer after decompression, in bytes: far above any page of a well configured
    /// gateway.
    static let maximumAnswerBytes = 64 << 20

    /// - Throws: `SyncError`; nothing can then be said of the changes.
    ///
    /// - Parameter compresses: whether the body goes out as gzip.
    func upload(_ body: [UInt8], compresses: Bool) async throws -> UploadResult {
        var request = TransportRequest(
            method: "POST", url: base.appending(path: "sync/upload"),
            headers: ["Content-Type": "application/json"], body: body)
        if compresses, let small = Gzip.deflate(body) {
            request.body = small
            request.headers["Content-Encoding"] = "gzip"
        }
        let response = try await send(request)
        if response.status == 413 { return .tooLarge }
        if response.status == 415, compresses { return .notCompressed }
        return try .answer(
            Self.read(response, from: request.url) { body throws(JSONError) in
                try UploadAnswer(body: body)
            })
    }

    /// - Parameters:
    ///   - until: end of the window being read; 0 asks for a new one.
    ///   - wait: seconds the gateway may hold the request until there is something.
    func download(
        after: Int64, limit: Int, until: Int64, includeSelf: Bool, wait: Int? = nil
    ) async throws -> DownloadPage {
        var query = [
            URLQueryItem(name: "after", value: String(after)),
            URLQueryItem(name: "limit", value: String(limit)),
            URLQueryItem(name: "schema", value: schema),
        ]
        if includeSelf { query.append(URLQueryItem(name: "include_self", value: "true")) }
        if until > 0 { query.append(URLQueryItem(name: "until", value: String(until))) }
        if let wait { query.append(URLQueryItem(name: "wait", value: String(wait))) }
        let url = base.appending(path: "sync/download").appending(queryItems: query)
        let response = try await send(TransportRequest(method: "GET", url: url))
        return try Self.read(response, from: url) { body throws(JSONError) in
            try DownloadPage(body: body, after: after)
        }
    }

    /// - Returns: nil if the server has no such thing, as older ones.
    func bootstrap() async throws -> Standing? {
        let request = TransportRequest(method: "GET", url: base.appending(path: "sync/bootstrap"))
        let response = try await send(request)
        if response.status == 404 { return nil }
        return try Self.read(response, from: request.url) { body throws(JSONError) in
            guard let standing = try? JSONDecoder().decode(Standing.self, from: Data(body)) else {
                throw JSONError("this does not answer a bootstrap", at: 0)
            }
            return standing
        }
    }

    /// - Returns: nil if the server has no such thing, as older ones.
    func capabilities() async throws -> Capabilities? {
        let request = TransportRequest(
            method: "GET", url: base.appending(path: "sync/capabilities"))
        let response = try await send(request)
        if response.status == 404 { return nil }
        return try Self.read(response, from: request.url) { body throws(JSONError) in
            guard let found = try? JSONDecoder().decode(Capabilities.self, from: Data(body)) else {
                throw JSONError("this does not answer a request for capabilities", at: 0)
            }
            return found
        }
    }

    /// Holds a stream open on which the gateway tells of each growth of the log.
    ///
    /// - Parameter after: the cursor; the gateway says at once if its log ends elsewhere.
    func watch(
        after: Int64, _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let url = base.appending(path: "sync/watch")
            .appending(queryItems: [URLQueryItem(name: "after", value: String(after))])
        var request = try await signed(TransportRequest(method: "GET", url: url))
        request.headers["Accept"] = "text/event-stream"
        // A compressor would hold events back.
        request.headers["Accept-Encoding"] = "identity"
        try await transport.stream(request, receive)
    }

    /// Sends with credentials, which the app is asked for once more if they are refused.
    private func send(_ request: TransportRequest) async throws -> TransportResponse {
        let response = try await sendOnce(request)
        return response.status == 401 ? try await sendOnce(request) : response
    }

    private func sendOnce(_ request: TransportRequest) async throws -> TransportResponse {
        let request = try await signed(request)
        let response: TransportResponse
        do { response = try await transport.send(request) } catch {
            try Task.checkCancellation()
            throw SyncError.unreachable("\(error)")
        }
        try Self.checkOrigin(of: response)
        return try Self.inflated(response)
    }

    /// Some transports decompress by themselves and leave the header; then the body is not gzip any
    /// more.
    private static func inflated(_ response: TransportResponse) throws(SyncError)
        -> TransportResponse
    {
        guard response.headers["content-encoding"]?.lowercased() == "gzip",
            Gzip.isMember(response.body)
        else { return response }
        guard let body = Gzip.inflate(response.body, limit: maximumAnswerBytes) else {
            throw .notTheGateway("an answer whose gzip cannot be read")
        }
        var response = response
        response.body = body
        return response
    }

    private func signed(_ request: TransportRequest) async throws -> TransportRequest {
        let token = try await token()
        try await identify(TokenClaims(token: token))
        var request = request
        request.headers["Authorization"] = "Bearer \(token)"
        request.headers["Accept"] = "application/json"
        request.headers["Accept-Encoding"] = "gzip"
        if let epoch = epoch() { request.headers["Oversync-Epoch"] = epoch }
        return request
    }

    /// The app's token, without white space around it, as it is when read from a file or a command.
    private func token() async throws -> String {
        let given: String
        do { given = try await credentials() } catch {
            try Task.checkCancellation()
            throw SyncError.noCredentials("\(error)")
        }
        let token = given.trimmingCharacters(in: .whitespacesAndNewlines)
        // Said here without the token: a transport might quote it.
        guard !token.isEmpty, token.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) else {
            throw SyncError.noCredentials(
                token.isEmpty
                    ? "the token is empty" : "the token holds characters that no header may have")
        }
        return token
    }

    /// No gateway speaks HTML: a captive portal or a proxy does, and its status says nothing about
    /// the request.
    private static func checkOrigin(of response: TransportResponse) throws(SyncError) {
        let type = response.headers["content-type"]?.lowercased() ?? ""
        if type.hasPrefix("text/html") { throw .notTheGateway("HTML, status \(response.status)") }
    }

    /// Reads an answer that should be one of the protocol's. Anything that is not JSON is not the
    /// gateway's, whatever its status, and changes nothing.
    private static func read<Value>(
        _ response: TransportResponse, from url: URL, _ parse: ([UInt8]) throws(JSONError) -> Value
    ) throws(SyncError) -> Value {
        switch response.status {
        case 200:
            // A byte that is no text would go into rows as it is.
            guard String(validating: response.body, as: UTF8.self) != nil else {
                throw .notTheGateway("the answer is not UTF-8")
            }
            do { return try parse(response.body) } catch { throw .notTheGateway(error.description) }
        case 401: throw .unauthorized(reason(of: response))
        case 429, 503: throw .busy(retryAfter: response.retryAfter)
        default:
            let detail = (try? JSONDecoder().decode(ErrorBody.self, from: Data(response.body)))
            // A path that nothing is at is mostly due to a wrong address of the gateway.
            let asked = response.status == 404 ? address(of: url) : nil
            guard let detail else {
                throw .notTheGateway(
                    "status \(response.status)" + (asked.map { " from \($0)" } ?? ""))
            }
            let words = [detail.message ?? "", asked ?? ""].filter { !$0.isEmpty }
            throw .refused(
                status: response.status, code: detail.error, message: words.joined(separator: ": "))
        }
    }

    /// Where a request went, without what it asked and who asked it.
    private static func address(of url: URL) -> String {
        var parts = URLComponents(url: url, resolvingAgainstBaseURL: true)
        parts?.query = nil
        parts?.user = nil
        parts?.password = nil
        return parts?.string ?? url.path
    }

    /// Longest quotation of an answer that is not the gateway's, in bytes.
    private static let quotedBytes = 200

    /// Why a request was refused, in the server's words.
    private static func reason(of response: TransportResponse) -> String {
        if let body = try? JSONDecoder().decode(ErrorBody.self, from: Data(response.body)) {
            return body.message ?? body.error
        }
        let text = String(decoding: response.body.prefix(quotedBytes), as: UTF8.self)
        let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return words.isEmpty ? "status \(response.status)" : words
    }

    private struct ErrorBody: Decodable {
        let error: String
        let message: String?
    }
}

extension TransportResponse {
    /// Longest wait that an answer can impose, in seconds: what asks for more has its clock or its
    /// mind wrong.
    private static let longestRetryAfter = 86_400

    /// Seconds the server asks to wait, within reason; nil if it says nothing, or a date.
    var retryAfter: Int? {
        headers["retry-after"].flatMap { Int($0) }.map { min(max(0, $0), Self.longestRetryAfter) }
    }
}
