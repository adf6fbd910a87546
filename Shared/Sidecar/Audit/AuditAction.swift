/// What the audit records. Raw values are stored, and operators search for them, so they stay as
/// they are.
package enum AuditAction: String, CaseIterable, Sendable {
    // Of the database.
    case migrate
    case deferKeys = "migrate.fk-deferrable"
    case adopt
    case repair = "verify.repair"
    case compact
    case newEpoch = "epoch.new"
    /// A table's registration, by `oversync migrate`.
    case changeRegistration = "registration.change"
    case pruneAudit = "audit.prune"

    // Of devices and their changes.
    case revokeDevice = "device.revoke"
    case restoreDevice = "device.restore"
    case listFailures = "materialize-failure.list"
    case retryFailure = "materialize-failure.retry"
    case readRow = "row.read"
    /// A visit to the live tail.
    case listRequests = "request.list"

    // Of tokens and keys.
    case issueToken = "token.issue"
    case createKey = "key.create"
    case rotateKeys = "key.rotate"
    case retireKey = "key.retire"
    case resealKeys = "key.reseal"

    /// Somebody without the administrators' role asked for what it opens.
    case administer = "admin.request"
    /// A service started with other settings than before. `sync.record_configuration` writes it.
    case changeConfiguration = "configuration.change"
}

/// What came of an action.
package enum AuditOutcome: String, CaseIterable, Sendable {
    /// Another row says how it ended, unless its process was killed.
    case begun
    case done
    /// Somebody was not allowed to, or what was asked for cannot be.
    case refused
    case failed
}
