import LogFields
import Logging
import Model
import Protos
import RPC
import Sidecar
import Synchronization
import Tokens
import Waiting
import WireJSON

/// The `IssueClientToken` call: a token for a back end that shows its credentials, within what it
/// may ask for. Errors have the codes of RFC 6749 §5.2.
struct IssueClientToken: Sendable {
    let clients: ClientBook
    let issue: IssueToken
    let refusals = Refusals()

    /// Limits what refusals add to the audit. Guessed secrets have a limit of their own, so they do
    /// not hide what a known client asks for without permission.
    final class Refusals: Sendable {
        private let guesses = Mutex(RecordBudget(now: .now))
        private let others = Mutex(RecordBudget(now: .now))

        func add(_ failure: RPCFailure) -> Int? {
            failure.status == .unauthenticated
                ? guesses.withLock { $0.add(now: .now) } : others.withLock { $0.add(now: .now) }
        }

        func lose(_ count: Int, of failure: RPCFailure) {
            if failure.status == .unauthenticated {
                guesses.withLock { $0.lose(count) }
            } else {
                others.withLock { $0.lose(count) }
            }
        }
    }

    func callAsFunction(
        _ request: IssueClientTokenRequest, _ context: CallContext
    ) async throws -> RPCReply<IssueTokenReply> {
        do {
            let client = try authenticated(request)
            try check(request, against: client)
            let asked =
                request.lifetimeSeconds == 0
                ? issue.lifetime : Int(request.lifetimeSeconds)
            return try await issue(
                user: request.user, device: request.device, roles: request.roles,
                lifetime: min(asked, client.maximumLifetime),
                for: .client(client.id, from: context.clientAddress), context)
        } catch let failure as RPCFailure {
            // Others are Auth's own trouble.
            if [.unauthenticated, .invalidArgument].contains(failure.status) {
                await record(failure, of: request, context)
            }
            throw failure
        }
    }

    /// Takes the same time whether there is such a client or not.
    private func authenticated(
        _ request: IssueClientTokenRequest
    ) throws(RPCFailure) -> TokenClient {
        let known = clients[request.clientID]
        let hasSecret = (known ?? .unknown).accepts(ClientSecret.hash(of: request.clientSecret))
        // A wrong secret in addition to it is refused.
        let hasCertificate =
            request.clientSecret.isEmpty
            && (known ?? .unknown).accepts(certificate: request.certificateNames)
        guard let known, hasSecret || hasCertificate else {
            throw RPCFailure(
                .unauthenticated, code: "invalid_client",
                message: "There is no client with this id and secret, or certificate")
        }
        return known
    }

    private func check(
        _ request: IssueClientTokenRequest, against client: TokenClient
    ) throws(RPCFailure) {
        guard client.users.contains(where: { $0.matches(request.user) }) else {
            throw RPCFailure(
                .invalidArgument, code: "unauthorized_client",
                message: "The client may not ask for tokens of this user")
        }
        guard client.devices.contains(where: { $0.matches(request.device) }) else {
            throw RPCFailure(
                .invalidArgument, code: "unauthorized_client",
                message: "The client may not ask for tokens of this device")
        }
        // Names of roles are ASCII: others could be equal to one without being it.
        guard request.roles.allSatisfy(isRoleName), client.roles.isSuperset(of: request.roles)
        else {
            throw RPCFailure(
                .invalidArgument, code: "invalid_scope",
                message: "The client may not ask for all of these roles")
        }
    }

    private func record(
        _ failure: RPCFailure, of request: IssueClientTokenRequest, _ context: CallContext
    ) async {
        issue.logger.info(
            "token refused",
            metadata: .fields([
                .requestID: "\(context.requestID)", .error: "\(failure.code)",
                .address: "\(context.clientAddress ?? "")",
            ]))
        guard let leftOut = refusals.add(failure) else { return }
        // Who has not shown a secret chooses nothing that is kept: it could be a secret in the
        // wrong field.
        let isGuess = failure.status == .unauthenticated
        let id = clients[request.clientID] == nil ? "unknown" : request.clientID
        let entry = AuditEntry(
            .issueToken, of: isGuess ? "unknown" : "\(request.user)/\(request.device)",
            by: .client(id, from: context.clientAddress), .refused, code: failure.code,
            details: leftOut > 0 ? ["left_out": .integer(Int64(leftOut))] : nil)
        do {
            try await issue.audit.record(entry, context)
        } catch {
            // It is in the log, and counted with the next one.
            refusals.lose(1 + leftOut, of: failure)
        }
    }
}
