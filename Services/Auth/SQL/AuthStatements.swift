import Postgres
import Sidecar
import SigningKeys

/// The Auth service's statements.
package enum AuthStatements {
    package static let all = KeyStatements.all + AuditStatements.ofAuth
}
