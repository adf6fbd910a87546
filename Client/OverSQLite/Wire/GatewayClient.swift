import Foundation
import WireJSON

/// Implements the protocol over a transport: paths, credentials, and the meaning of responses.
struct GatewayClient: Sendable {
    let base: URL
    let schema: String
    let transport: any HTTPTransport
    /// The epoch that this device's cursor and versions belong to; nil if none is known.
    let epoch: @Sendable () -> String?
    /// Returns the app's token.
    let renewingCredentials: @Sendable (CredentialsRequest) async throws -> String
    /// Checks each token before it is used. Throws if it must not be used.
    let identify: @Sendable (TokenClaims) async throws -> Void
    /// The device's name, for a token that has none; nil for any other.
    var deviceName: @Sendable (TokenClaims) async throws -> String? = { _ in nil }
    /// The kinds of keys that the server shows only to clients that ask for them, as the header
    /// names them; nil if the engine has no table of such a kind.
    var keyKinds: String?
    /// Takes the server's time, in seconds since 1970, whenever an answer has it. Returns what
    /// there is to say about the device's clock.
    let compareClocks: @Sendable (Double) -> SyncNotice?
    /// Takes each attempt that is over.
    var journal = RequestJournal()
    /// What the device says of itself, and when.
    var reporting = Reporting()
    var clock: any SyncClock = SystemClock()

    enum UploadResult {
        case answer(UploadAnswer)
        /// The body was larger than the gateway accepts.
        case tooLarge
        /// The gateway does not accept compressed bodies after all.
        case notCompressed
        /// The upload took longer than a request may; nothing of it is known to be applied. The
        /// value is the number of seconds after which the gateway wants to be asked again.
        case late(retryAfter: Int?)
    }

    /// The maximum size of a decompressed response, in bytes; much larger than any page of a
    /// well-configured gateway.
    static let maximumAnswerBytes = 64 << 20

    /// Uploads changes.
    ///
    /// - Parameters:
    ///   - compresses: whether to send the body as gzip.
    ///   - history: what the device knows of the server's history.
    /// - Throws: `SyncError`. The outcome of the changes is then unknown.
    func upload(
        _ body: [UInt8], compresses: Bool, history: HistoryPair?
    ) async throws -> UploadResult {
        var request = TransportRequest(
            method: "POST", url: base.appending(path: "sync/upload"),
            headers: ["Content-Type": "application/json"], body: body
        ).telling(history)
        if compresses, let small = Gzip.deflate(body) {
            request.body = small
            request.headers["Content-Encoding"] = "gzip"
        }
        let response = try await send(request)
        if response.status == 413 { return .tooLarge }
        if response.status == 415, compresses { return .notCompressed }
        if response.status == 503, Self.lateCodes.contains(Self.code(of: response)) {
            return .late(retryAfter: response.retryAfter)
        }
        var answer = try Self.read(response, from: request.url) { body throws(JSONError) in
            try UploadAnswer(body: body)
        }
        answer.history = response.history
        return .answer(answer)
    }

    /// Downloads a page.
    ///
    /// - Parameters:
    ///   - after: the cursor.
    ///   - limit: the maximum number of changes in the page.
    ///   - until: the end of the current window; 0 asks for a new one.
    ///   - includeSelf: whether to include this device's own changes.
    ///   - isFresh: whether everything that was committed before the request must be seen. A
    ///     gateway that does not know the parameter ignores it.
    ///   - wait: seconds for which the gateway may hold the request until there is a change.
    ///   - history: what the device knows of the server's history.
    ///   - tables: the tables that the device takes for readable.
    ///   - tellsTables: whether to name them, and to receive others.
    ///   - names: the tables whose changes are asked for; nil asks for all.
    func download(
        after: Int64, limit: Int, until: Int64, includeSelf: Bool, isFresh: Bool = false,
        wait: Int? = nil, history: HistoryPair?, tables: TablesFingerprint?,
        tellsTables: Bool = true, only names: [String]? = nil
    ) async throws -> DownloadPage {
        var query = [
            URLQueryItem(name: "after", value: String(after)),
            URLQueryItem(name: "limit", value: String(limit)),
            URLQueryItem(name: "schema", value: schema),
        ]
        if includeSelf { query.append(URLQueryItem(name: "include_self", value: "true")) }
        if isFresh { query.append(URLQueryItem(name: "fresh", value: "true")) }
        if until > 0 { query.append(URLQueryItem(name: "until", value: String(until))) }
        if let names {
            query.append(URLQueryItem(name: "tables", value: names.joined(separator: ",")))
        }
        if let wait { query.append(URLQueryItem(name: "wait", value: String(wait))) }
        let url = base.appending(path: "sync/download").appending(queryItems: query)
        let request = TransportRequest(method: "GET", url: url).telling(history)
        let response = try await send(tellsTables ? request.telling(tables) : request)
        var page = try Self.read(response, from: url) { body throws(JSONError) in
            try DownloadPage(body: body, after: after)
        }
        page.history = response.history
        page.tables = response.tables
        return page
    }

    /// - Parameter history: what the device knows of the server's history.
    /// - Returns: nil if the server is older and does not have this route.
    func bootstrap(
        history: HistoryPair? = nil, tables: TablesFingerprint? = nil
    ) async throws -> Standing? {
        let request = TransportRequest(
            method: "GET", url: base.appending(path: "sync/bootstrap")
        ).telling(history).telling(tables)
        let response = try await send(request)
        if response.status == 404 { return nil }
        var standing = try Self.read(response, from: request.url) { body throws(JSONError) in
            do { return try JSONDecoder().decode(Standing.self, from: Data(body)) } catch {
                let why = (error as? Standing.Flaw).map { ": \($0.description)" } ?? ""
                throw JSONError("the body does not answer /sync/bootstrap\(why)", at: 0)
            }
        }
        standing.tables = response.tables
        return standing
    }

    /// - Parameters:
    ///   - tables: those that the device takes for readable, or has just received.
    ///   - names: tables whose existence the server is asked about.
    /// - Returns: nil if the server is older and does not have this route.
    func capabilities(
        tables: TablesFingerprint? = nil, of names: [String] = []
    ) async throws -> Capabilities? {
        var url = base.appending(path: "sync/capabilities")
        if !names.isEmpty {
            url.append(queryItems: [
                URLQueryItem(name: "schema", value: schema.isEmpty ? "public" : schema),
                URLQueryItem(name: "tables", value: names.joined(separator: ",")),
            ])
        }
        let request = TransportRequest(method: "GET", url: url).telling(tables)
        let response = try await send(request)
        if response.status == 404 { return nil }
        var answer = try Self.read(response, from: request.url) { body throws(JSONError) in
            guard let found = try? JSONDecoder().decode(Capabilities.self, from: Data(body)) else {
                throw JSONError("the body does not answer /sync/capabilities", at: 0)
            }
            return found
        }
        answer.fingerprint = response.tables
        return answer
    }

    /// Keeps a stream open on which the gateway announces each growth of the log.
    ///
    /// - Parameters:
    ///   - after: the cursor. The gateway sends an event at once if its log ends elsewhere.
    ///   - history: what the device knows of the server's history.
    ///   - tables: the tables that the device takes for readable. The stream ends when they change.
    ///   - tellsTables: whether to say so.
    func watch(
        after: Int64, history: HistoryPair?, tables: TablesFingerprint?, tellsTables: Bool = true,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let url = base.appending(path: "sync/watch")
            .appending(queryItems: [URLQueryItem(name: "after", value: String(after))])
        let told = TransportRequest(method: "GET", url: url).telling(history)
        var request = try await signed(tellsTables ? told.telling(tables) : told, .first).request
        request.headers["Accept"] = "text/event-stream"
        // A compressor would delay events.
        request.headers["Accept-Encoding"] = "identity"
        try await transport.stream(request, receive)
    }

    /// Sends with credentials. If they are refused, asks the app for them again and repeats the
    /// request once.
    func send(_ request: TransportRequest) async throws -> TransportResponse {
        let (response, token) = try await sendOnce(request, .first)
        guard response.status == 401 else { return response }
        let reason = Self.reason(of: response)
        let again = try await sendOnce(
            request, CredentialsRequest(rejectedToken: token, reason: reason)
        ).response
        // Tokens go by time, so a wrong clock is the likely cause.
        if again.status == 401, let clock = notice(in: again) {
            throw SyncError.unauthorized("\(Self.reason(of: again)); \(clock.message)")
        }
        return again
    }

    /// What the answer's time says about the device's clock.
    @discardableResult
    private func notice(in response: TransportResponse) -> SyncNotice? {
        response.headers["date"].flatMap(HTTPDate.seconds).flatMap(compareClocks)
    }

    private func sendOnce(
        _ request: TransportRequest, _ asked: CredentialsRequest
    ) async throws -> (response: TransportResponse, token: String) {
        let (request, token) = try await signed(request, asked)
        let response: TransportResponse
        let attempt = RequestJournal.Attempt(request, at: clock.now)
        do { response = try await transport.send(request) } catch {
            journal.append(attempt.entry(error: error))
            try Task.checkCancellation()
            throw SyncError.unreachable("\(error)")
        }
        journal.append(attempt.entry(response))
        reporting.record(response, to: request)
        try Self.checkOrigin(of: response)
        notice(in: response)
        return (try Self.inflated(response), token)
    }

    /// Decompresses the body, unless the transport has already done so and only left the header.
    private static func inflated(_ response: TransportResponse) throws(SyncError)
        -> TransportResponse
    {
        guard response.headers["content-encoding"]?.lowercased() == "gzip",
            Gzip.isMember(response.body)
        else { return response }
        guard let body = Gzip.inflate(response.body, limit: maximumAnswerBytes) else {
            throw .notTheGateway("the body is not valid gzip")
        }
        var response = response
        response.body = body
        return response
    }

    private func signed(
        _ request: TransportRequest, _ asked: CredentialsRequest
    ) async throws -> (request: TransportRequest, token: String) {
        let token = try await token(asked)
        let claims = TokenClaims(token: token)
        try await identify(claims)
        var request = request
        if let name = try await deviceName(claims) { request.headers["Oversync-Device"] = name }
        request.headers["Authorization"] = "Bearer \(token)"
        request.headers["Accept"] = "application/json"
        request.headers["Accept-Encoding"] = "gzip"
        if let epoch = epoch() { request.headers["Oversync-Epoch"] = epoch }
        if let keyKinds { request.headers["Oversync-Key-Kinds"] = keyKinds }
        return (await reporting.adding(to: request), token)
    }

    /// The app's token, without the surrounding white space that a file or a command may have
    /// added.
    private func token(_ asked: CredentialsRequest) async throws -> String {
        let given: String
        do { given = try await renewingCredentials(asked) } catch {
            try Task.checkCancellation()
            throw SyncError.noCredentials("\(error)")
        }
        let token = given.trimmingCharacters(in: .whitespacesAndNewlines)
        // Report this without the token; a transport might quote it.
        guard !token.isEmpty, token.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) else {
            throw SyncError.noCredentials(
                token.isEmpty
                    ? "the token is empty"
                    : "the token contains characters that an HTTP header cannot hold")
        }
        return token
    }

    /// Gateways never send HTML. A captive portal or a proxy does, and its status says nothing
    /// about the request.
    private static func checkOrigin(of response: TransportResponse) throws(SyncError) {
        let type = response.headers["content-type"]?.lowercased() ?? ""
        if type.hasPrefix("text/html") { throw .notTheGateway("HTML, status \(response.status)") }
    }

    /// Parses a response of the protocol. A response that is not JSON does not come from the
    /// gateway, whatever its status, and changes nothing.
    static func read<Value>(
        _ response: TransportResponse, from url: URL, _ parse: ([UInt8]) throws(JSONError) -> Value
    ) throws(SyncError) -> Value {
        switch response.status {
        case 200:
            // Invalid UTF-8 would otherwise be written into rows.
            guard String(validating: response.body, as: UTF8.self) != nil else {
                throw .notTheGateway("the answer is not UTF-8")
            }
            do { return try parse(response.body) } catch { throw .notTheGateway(error.description) }
        case 401: throw .unauthorized(reason(of: response))
        case 429, 503: throw .busy(retryAfter: response.retryAfter)
        default:
            let detail = (try? JSONDecoder().decode(ErrorBody.self, from: Data(response.body)))
            // An unknown path usually means that the gateway's address is wrong.
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

    /// The address of a request, without its query and credentials.
    private static func address(of url: URL) -> String {
        var parts = URLComponents(url: url, resolvingAgainstBaseURL: true)
        parts?.query = nil
        parts?.user = nil
        parts?.password = nil
        return parts?.string ?? url.path
    }

    /// The maximum number of bytes to quote from a response that is not the gateway's.
    private static let quotedBytes = 200

    /// The codes of a request that took longer than it may.
    private static let lateCodes: Set<String?> = ["timeout", "deadline_exceeded"]

    /// The protocol's code of an error; nil if the response has none.
    private static func code(of response: TransportResponse) -> String? {
        (try? JSONDecoder().decode(ErrorBody.self, from: Data(response.body)))?.error
    }

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

extension GatewayClient {
    /// A client whose credentials need not know why they are asked for, and that compares no
    /// clocks.
    init(
        base: URL, schema: String, transport: any HTTPTransport,
        epoch: @escaping @Sendable () -> String?,
        credentials: @escaping @Sendable () async throws -> String,
        identify: @escaping @Sendable (TokenClaims) async throws -> Void
    ) {
        self.init(
            base: base, schema: schema, transport: transport, epoch: epoch,
            renewingCredentials: { _ in try await credentials() }, identify: identify,
            compareClocks: { _ in nil })
    }
}
