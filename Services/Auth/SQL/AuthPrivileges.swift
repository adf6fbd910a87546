import Postgres
import Sidecar

/// What Auth's role must be allowed to do. A test runs every statement of Auth as a role with exactly this.
package enum AuthPrivileges {
    package static let all = ServiceRole.auth.requiredPrivileges
}
