import Postgres
import Sidecar

/// What Download's role must be allowed to do. A test runs every statement of Download as a role with exactly this.
package enum DownloadPrivileges {
    package static let sidecar = ServiceRole.download.requiredPrivileges
}
