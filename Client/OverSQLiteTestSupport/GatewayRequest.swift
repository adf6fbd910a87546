import Foundation
import OverSQLite
import WireJSON

/// A parsed request.
struct Call {
    let method: String
    let path: String
    var query: [String: String]
    let authorization: String?
    /// The user and the device of the token; nil if there is no readable token.
    let caller: Caller?
    let body: [UInt8]
    /// The epoch that the device names.
    let epoch: String?
    /// The header in which the device sends its pair.
    let history: String?
    /// The header in which the device says which tables it takes for readable.
    let tables: String?
    /// The client knows integer keys.
    let asksForIntegers: Bool

    struct Caller: Hashable {
        let user: String
        let device: String
    }

    var user: String { caller?.user ?? "" }
    var device: String { caller?.device ?? "" }

    init(_ request: TransportRequest) throws {
        guard let parts = URLComponents(url: request.url, resolvingAgainstBaseURL: true) else {
            throw URLError(.badURL)
        }
        method = request.method
        path = parts.path
        query = Dictionary((parts.queryItems ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        authorization = Self.header("Authorization", of: request)
        let device = Self.header("Oversync-Device", of: request)
        caller = Self.bearer(authorization).flatMap { Self.caller(of: $0, on: device) }
        body = request.body ?? []
        epoch = Self.header("Oversync-Epoch", of: request)
        history = Self.header("Oversync-History", of: request)
        tables = Self.header("Oversync-Tables", of: request)
        let kinds = Self.header("Oversync-Key-Kinds", of: request) ?? ""
        asksForIntegers = kinds.split(separator: ",").contains {
            $0.trimmingCharacters(in: .whitespaces) == "integer"
        }
    }

    /// A header's value; header names are case-insensitive.
    private static func header(_ name: String, of request: TransportRequest) -> String? {
        request.headers.first { $0.key.lowercased() == name.lowercased() }?.value
    }

    /// The token of an authorization header.
    static func bearer(_ header: String?) -> String? {
        let parts = header?.split(separator: " ", omittingEmptySubsequences: false) ?? []
        guard parts.count == 2, parts[0].lowercased() == "bearer", !parts[1].isEmpty else {
            return nil
        }
        return String(parts[1])
    }

    private struct Claims: Decodable {
        let sub: String
        let did: String?
    }

    /// - Parameter named: the device that the request's header names, for a token that names none.
    private static func caller(of token: String, on named: String?) -> Caller? {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return nil }
        let padding = String(repeating: "=", count: (4 - parts[1].count % 4) % 4)
        guard let data = Data(base64Encoded: String(parts[1]) + padding),
            let claims = try? JSONDecoder().decode(Claims.self, from: data),
            let device = claims.did ?? named
        else { return nil }
        return Caller(user: claims.sub, device: device)
    }
}

/// An error that refuses a request, as the protocol describes it.
struct GatewayError: Error, Hashable {
    let status: Int
    let code: String
    let message: String
    var headers: [String: String] = [:]

    static func invalid(_ message: String) -> GatewayError {
        GatewayError(status: 400, code: "invalid_request", message: message)
    }

    static func unauthenticated(_ message: String) -> GatewayError {
        GatewayError(
            status: 401, code: "authentication_failed", message: message,
            headers: ["www-authenticate": "Bearer"])
    }

    /// Reads a JSON body.
    ///
    /// - Parameter expectation: what the body must be, for the error.
    static func parsed<Body>(
        _ body: [UInt8], _ expectation: String,
        _ parse: (UnsafeBufferPointer<UInt8>) throws(JSONError) -> Body
    ) throws(GatewayError) -> Body {
        let parsed = body.withUnsafeBufferPointer { bytes -> Result<Body, JSONError> in
            do throws(JSONError) { return .success(try parse(bytes)) } catch {
                return .failure(error)
            }
        }
        switch parsed {
        case .success(let body): return body
        case .failure(let error): throw .invalid("\(expectation): \(error.description)")
        }
    }
}

/// The parameters of a download.
struct PageQuery {
    /// The longest wait, in seconds.
    static let maximumWait = 55
    static let maximumRows = 1000
    /// The most tables that a page can be asked of.
    static let maximumTables = 100

    let after: Int
    let limit: Int
    /// nil means the end of the log.
    let until: Int?
    let schema: String?
    /// nil means all tables.
    let tables: Set<String>?
    let isForSelf: Bool
    /// In seconds.
    let wait: Int

    init(_ query: [String: String]) throws(GatewayError) {
        after = try Self.cursor(query, "after")
        limit = try Self.number(query, "limit", "limit must be an integer") ?? 100
        guard (1...Self.maximumRows).contains(limit) else {
            throw .invalid("limit must be between 1 and \(Self.maximumRows)")
        }
        schema = query["schema"].flatMap { $0.isEmpty ? nil : $0 }
        guard schema.map(isIdentifier) != false else { throw .invalid("invalid schema name") }
        let names = query["tables"].flatMap { $0.isEmpty ? nil : $0 }?.split(
            separator: ",", omittingEmptySubsequences: false)
        guard names.map({ $0.count <= Self.maximumTables }) != false,
            names?.allSatisfy({ isIdentifier(String($0)) }) != false
        else {
            throw .invalid(
                "tables must be at most \(Self.maximumTables) names with commas between")
        }
        tables = names.map { Set($0.map(String.init)) }
        let end = try Self.cursor(query, "until")
        until = end > 0 ? end : nil
        let refusal = "wait must be between 0 and \(Self.maximumWait) seconds"
        wait = try Self.number(query, "wait", refusal) ?? 0
        guard (0...Self.maximumWait).contains(wait) else { throw .invalid(refusal) }
        isForSelf = query["include_self"] == "true"
    }

    static func cursor(_ query: [String: String], _ name: String) throws(GatewayError)
        -> Int
    {
        let value = try number(query, name, "\(name) must be an integer") ?? 0
        guard value >= 0 else { throw .invalid("\(name) must be >= 0") }
        guard value <= GatewayModel.maximumNumber || name != "after" else {
            throw .invalid("\(name) must be at most \(GatewayModel.maximumNumber)")
        }
        return value
    }

    private static func number(
        _ query: [String: String], _ name: String, _ refusal: String
    ) throws(GatewayError) -> Int? {
        guard let text = query[name], !text.isEmpty else { return nil }
        guard let value = Int(text) else { throw .invalid(refusal) }
        return value
    }
}

/// Whether a name is valid for a schema or a table.
func isIdentifier(_ text: String) -> Bool {
    (1...63).contains(text.utf8.count)
        && text.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 == 0x5F }
}
