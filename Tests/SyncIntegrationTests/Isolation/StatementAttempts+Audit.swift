import Postgres
@testable import Sidecar
import SigningKeys

/// Statements about keys and the audit, which hold nobody's rows.
extension StatementAttempt {
    static let keys = [
        StatementAttempt(KeyStatements.begin, .nobodysRows),
        StatementAttempt(KeyStatements.commit, .nobodysRows),
        StatementAttempt(KeyStatements.lockKeys, .nobodysRows),
        StatementAttempt(KeyStatements.ReadKeys.statement, .nobodysRows) { bindings, _ in
            KeyStatements.ReadKeys(withRetired: true).bind(to: &bindings)
        },
        StatementAttempt(KeyStatements.InsertKey.statement, .nobodysRows) { bindings, _ in
            KeyStatements.InsertKey(kid: "kid", publicKey: [1], sealedKey: [2]).bind(to: &bindings)
        },
        StatementAttempt(KeyStatements.RetireKeys.statement, .nobodysRows) { bindings, _ in
            KeyStatements.RetireKeys(["kid"], after: 60).bind(to: &bindings)
        },
        StatementAttempt(KeyStatements.ResealKey.statement, .nobodysRows) { bindings, _ in
            KeyStatements.ResealKey(kid: "kid", sealedKey: [3]).bind(to: &bindings)
        },
    ]

    static let audit = [
        StatementAttempt(AuditStatements.Append.statement, .nobodysRows) { bindings, _ in
            AuditStatements.Append(entry).bind(to: &bindings)
        },
        StatementAttempt(AuditStatements.AppendOfAuth.statement, .nobodysRows) { bindings, _ in
            AuditStatements.AppendOfAuth(entry).bind(to: &bindings)
        },
        StatementAttempt(AuditStatements.RecordConfiguration.statement, .nobodysRows) {
            bindings, _ in
            for text in ["oversync-upload", "here", "{}"] { bindings.bind(text) }
        },
        StatementAttempt(AuditStatements.RecordConfigurationOfAuth.statement, .nobodysRows) {
            bindings, _ in
            for text in ["here", "{}"] { bindings.bind(text) }
        },
        StatementAttempt(
            AuditStatements.ReadForAdministrators.statement, .administrators
        ) { bindings, _ in
            bindings.bind("device.revoke")
            bindings.bind(Int64(0))
            bindings.bind(Int32(10))
        },
        StatementAttempt(AuditStatements.Read.statement, .administrators) { bindings, _ in
            AuditStatements.Read(query: AuditQuery()).bind(to: &bindings)
        },
        StatementAttempt(AuditStatements.Prune.statement, .administrators) { bindings, _ in
            AuditStatements.Prune(age: 0, limit: 100).bind(to: &bindings)
        },
    ]

    private static var entry: AuditEntry {
        AuditEntry(.listFailures, of: "", by: .token(Stranger.user, from: "192.0.2.1"))
    }
}
