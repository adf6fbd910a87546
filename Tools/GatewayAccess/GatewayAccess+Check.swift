import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit

extension GatewayAccess {
    /// How long a gateway may answer 503 before a command gives up.
    private static let patience: Duration = .seconds(10)
    private static let pause: Duration = .milliseconds(200)
    private static let timeout: TimeAmount = .seconds(10)
    /// Largest answer that is read, in bytes.
    private static let answerBytes = 4 << 20

    private struct Capabilities: Decodable {
        struct Table: Decodable {
            let schema: String
            let table: String
            let write: Bool
        }
        let tables: [Table]
    }

    /// Makes sure that devices can sync these tables.
    ///
    /// - Parameter advice: how to register tables that are missing.
    /// - Throws: `StackError` that says what is wrong and what to do.
    package func check(schema: String, tables: [String], advice: String) async throws {
        let found = try await capabilities().tables.filter { $0.schema == schema }
        let missing = Set(tables).subtracting(found.map(\.table))
        guard missing.isEmpty else {
            let names = missing.sorted().map { "\(schema).\($0)" }.joined(separator: ", ")
            throw StackError("\(url) does not sync \(names). \(advice)")
        }
        let closed = found.filter { !$0.write && tables.contains($0.table) }.map(\.table)
        guard closed.isEmpty else {
            let names = closed.sorted().map { "\(schema).\($0)" }.joined(separator: ", ")
            throw StackError(
                "only certain roles may write \(names): remove `write` of these tables from "
                    + "oversync.yaml, and run oversync migrate")
        }
    }

    private func capabilities() async throws -> Capabilities {
        try await withClient { client in
            let token = try await token(user: "oversync-check", device: "check")
            let end = ContinuousClock.now + Self.patience
            while true {
                let (status, text) = try await answer(client, "/sync/capabilities", token)
                switch status {
                case 200:
                    guard
                        let capabilities = try? JSONDecoder().decode(
                            Capabilities.self, from: Data(text.utf8))
                    else { throw notTheGateway(text) }
                    return capabilities
                case 401:
                    throw StackError(
                        "\(url) refuses a token signed with \(secretFile): \(text). The file must hold the "
                            + "gateway's OVERSYNC_JWT_HS256_SECRET. Where the gateway checks "
                            + "OVERSYNC_JWT_ISSUER or OVERSYNC_JWT_AUDIENCE, set the same here")
                case 429, 503:
                    guard ContinuousClock.now < end else {
                        let ready = try await answer(client, "/ready", token)
                        throw StackError(
                            "\(url) is not ready: \(status) \(text); /ready says \(ready.text)")
                    }
                    try await Task.sleep(for: Self.pause)
                case 500...: throw StackError("\(url) answered \(status): \(text)")
                default: throw notTheGateway("\(status) \(text)")
                }
            }
        }
    }

    private func notTheGateway(_ answer: String) -> StackError {
        StackError(
            "\(url): something other than the gateway answered: \(answer.prefix(200)). "
                + "Check --gateway")
    }

    private func answer(
        _ client: HTTPClient, _ path: String, _ token: String
    ) async throws -> (status: Int, text: String) {
        var request = HTTPClientRequest(url: url + path)
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        do {
            let response = try await client.execute(request, timeout: Self.timeout)
            let body = try await response.body.collect(upTo: Self.answerBytes)
            let text = String(buffer: body).trimmingCharacters(in: .whitespacesAndNewlines)
            return (Int(response.status.code), text)
        } catch {
            try Task.checkCancellation()
            throw StackError(explain(error))
        }
    }

    /// What is wrong when there is no answer. BoringSSL's codes are in the texts alone.
    func explain(_ error: any Error) -> String {
        let text = "\(error)"
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            let signer = authority.map { "the authority in \($0)" } ?? "a public authority"
            return "\(url): the certificate was not signed by \(signer), or has expired. "
                + "--ca takes the PEM file of the authority that signed it"
        }
        if text.contains("failedToValidateHostname") || text.contains("HOSTNAME") {
            return "\(url): the certificate is for another name. Use a name that it lists"
        }
        if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
            return "\(url): the port does not speak TLS. Check the port of --gateway"
        }
        return "\(url) cannot be reached: \(connectionTrouble(error)). "
            + "Check --gateway, and whether the gateway is running"
    }
}
