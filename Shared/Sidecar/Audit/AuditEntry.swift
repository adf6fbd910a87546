import Foundation
import WireJSON

/// Who asked for an action, and from where.
package struct AuditOrigin: Hashable, Sendable {
    /// What kind of name the actor is.
    package enum ActorKind: String, CaseIterable, Sendable {
        /// A role of PostgreSQL.
        case role
        /// A token's `sub`.
        case token
        /// A back end that asks for tokens, by its client id.
        case client
        /// A service by itself.
        case service
        /// A user of a machine who has `oversync` ask a service.
        case terminal
    }

    package let kind: ActorKind
    /// Nil for the role of the session.
    package let actor: String?
    /// Who signed the actor's token, where that is known.
    package var issuer: String?
    /// A client's address, or the user and name of a machine.
    package let host: String?

    private init(_ kind: ActorKind, _ actor: String?, issuer: String?, host: String?) {
        self.kind = kind
        self.actor = actor
        self.issuer = issuer
        self.host = host
    }

    /// The role that is connected to the database.
    package static func session(on host: String?) -> AuditOrigin {
        AuditOrigin(.role, nil, issuer: nil, host: host)
    }

    /// The bearer of a token.
    package static func token(
        _ subject: String, issuer: String? = nil, from address: String? = nil
    ) -> AuditOrigin {
        AuditOrigin(.token, subject, issuer: issuer, host: address)
    }

    /// A back end that asks for tokens.
    package static func client(_ id: String, from address: String?) -> AuditOrigin {
        AuditOrigin(.client, id, issuer: nil, host: address)
    }

    /// Who has `oversync` ask a service, which is no session of a database.
    ///
    /// - Parameter address: what stands for a client's address: a machine's user and name with `@`
    ///   between, which no address has.
    /// - Returns: nil for an address.
    package static func terminal(_ address: String) -> AuditOrigin? {
        guard let sign = address.lastIndex(of: "@"), sign > address.startIndex else { return nil }
        return AuditOrigin(.terminal, String(address[..<sign]), issuer: nil, host: address)
    }

    /// A service that acts by itself.
    package static func service(_ name: String, on host: String?) -> AuditOrigin {
        AuditOrigin(.service, name, issuer: nil, host: host)
    }
}

/// One row of the audit. It holds no rows of business tables and no secrets.
///
/// Whatever it is given is cut to its bounds: no name can keep an action from being recorded.
package struct AuditEntry: Sendable {
    /// Longest actor, issuer and host, in bytes.
    package static let maximumNameBytes = 300
    /// Longest target, in bytes.
    package static let maximumTargetBytes = 600
    /// Longest code, in bytes.
    package static let maximumCodeBytes = 64
    /// Longest details, in bytes of JSON. Longer ones are left out.
    package static let maximumDetailBytes = 8192

    let origin: AuditOrigin
    package let action: AuditAction
    package let target: String
    package let outcome: AuditOutcome
    package let code: String?
    /// JSON.
    let details: String?
    /// The same in all rows of one action.
    let operation: UUID?

    /// - Parameters:
    ///   - target: what was acted on, such as a table, a device or a key.
    ///   - code: why it was refused or failed, or more about what was done.
    package init(
        _ action: AuditAction, of target: String, by origin: AuditOrigin,
        _ outcome: AuditOutcome = .done, code: String? = nil, details: JSONDocument? = nil,
        operation: UUID? = nil
    ) {
        self.origin = origin
        self.action = action
        self.target = Self.cut(target, Self.maximumTargetBytes)
        self.outcome = outcome
        self.code = code.map { Self.cut($0, Self.maximumCodeBytes) }
        self.details = details?.text.fitting(Self.maximumDetailBytes)
        self.operation = operation
    }

    var actor: String? { origin.actor.map { Self.cut($0, Self.maximumNameBytes) } }
    var issuer: String? { origin.issuer.map { Self.cut($0, Self.maximumNameBytes) } }
    var host: String? { origin.host.map { Self.cut($0, Self.maximumNameBytes) } }

    /// The beginning of a text, without the character NUL, which PostgreSQL does not store.
    private static func cut(_ text: String, _ maximumBytes: Int) -> String {
        let text = text.utf8.contains(0) ? text.replacing("\0", with: "\u{FFFD}") : text
        guard text.utf8.count > maximumBytes else { return text }
        let end = "…"
        var bytes = end.utf8.count
        let kept = text.unicodeScalars.prefix { scalar in
            bytes += Unicode.UTF8.width(scalar)
            return bytes <= maximumBytes
        }
        return String(kept) + end
    }
}

extension String {
    fileprivate func fitting(_ maximumBytes: Int) -> String {
        let size = utf8.count
        if size <= maximumBytes { return self }
        let note: JSONDocument = ["left_out_bytes": .integer(Int64(size))]
        return note.text
    }
}
