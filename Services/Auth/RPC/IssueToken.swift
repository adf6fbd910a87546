import Foundation
import LogFields
import Logging
import Model
import NIOCore
import Protos
import RPC
import Sidecar
import Telemetry
import Tokens
import WireJSON

/// The calls that hand out tokens: `IssueToken` for operators' tools, `DevelopmentSignIn` for development.
struct IssueToken: Sendable {
    let keys: KeyRing
    /// Where a token with roles is recorded before it is handed out.
    let audit: AuthAudit
    let issuer: String
    let audience: String
    /// Seconds, when the caller names no other.
    let lifetime: Int
    let allowsDevelopmentSignIn: Bool
    let logger: Logger

    func callAsFunction(
        _ request: IssueTokenRequest, _ context: CallContext
    ) async throws -> RPCReply<IssueTokenReply> {
        let asked = request.lifetimeSeconds == 0 ? lifetime : Int(request.lifetimeSeconds)
        guard asked <= TokenMint.maximumLifetimeSeconds else {
            throw invalid("lifetime must be at most \(TokenMint.maximumLifetimeSeconds) seconds")
        }
        for role in request.roles where !isRoleName(role) {
            throw invalid("a role must have 1 to 63 letters, digits, . _ : or -, not \"\(role)\"")
        }
        let address = context.clientAddress
        return try await self(
            user: request.user, device: request.device, roles: request.roles, lifetime: asked,
            for: address.flatMap(AuditOrigin.terminal)
                ?? .service(AuthService.name, on: address),
            context)
    }

    func signIn(
        _ request: DevelopmentSignInRequest, _ context: CallContext
    ) async throws -> RPCReply<IssueTokenReply> {
        guard allowsDevelopmentSignIn else {
            throw RPCFailure(
                .notFound, code: "not_found", message: "Development sign-in is switched off")
        }
        return try await self(
            user: request.user, device: request.device, roles: [], lifetime: lifetime,
            for: .service(AuthService.name, on: context.clientAddress), context)
    }

    /// - Parameter origin: who the audit says has asked.
    func callAsFunction(
        user: String, device: String, roles: [String], lifetime: Int, for origin: AuditOrigin,
        _ context: CallContext
    ) async throws -> RPCReply<IssueTokenReply> {
        try check(user, "user")
        try check(device, "device")
        let snapshot = try await keys.forCaller()
        let claims = DeviceClaims(
            user: user, device: device, roles: roles, issuer: issuer, audience: audience,
            now: Int(Date().timeIntervalSince1970), lifetime: lifetime)
        var reply = IssueTokenReply()
        reply.token = try await snapshot.mint.sign(claims)
        reply.expiresIn = UInt32(lifetime)
        reply.kid = snapshot.kid
        if !roles.isEmpty {
            let details: JSONDocument = [
                "user": .string(user), "device": .string(device),
                "roles": .array(roles.map { .string($0) }), "seconds": .integer(Int64(lifetime)),
                "kid": .string(snapshot.kid),
            ]
            try await audit.record(
                AuditEntry(.issueToken, of: "\(user)/\(device)", by: origin, details: details),
                context)
        }
        logger.info(
            "token issued",
            metadata: .fields([
                .requestID: "\(context.requestID)", .user: "\(userHash(user))",
                .source: "\(device)",
                .keyID: "\(snapshot.kid)", .seconds: .stringConvertible(lifetime),
                .roles: "\(roles.joined(separator: " "))",
            ]))
        return RPCReply(reply)
    }

    private func check(_ text: String, _ field: String) throws {
        let size = text.utf8.count
        guard (1...WireLimits.maximumIdentityBytes).contains(size) else {
            throw invalid(
                "\(field) must have 1 to \(WireLimits.maximumIdentityBytes) bytes, not \(size)")
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw invalid("\(field) must not contain control characters")
        }
    }

    private func invalid(_ message: String) -> RPCFailure {
        RPCFailure(.invalidArgument, code: "invalid_request", message: message)
    }
}
