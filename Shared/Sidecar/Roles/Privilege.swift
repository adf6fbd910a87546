/// One right on one object of the database.
package struct Privilege: Hashable, Comparable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable {
        case database, schema, table, sequence, function
    }

    package let kind: Kind
    /// As SQL takes it: quoted, with its schema; a function with the types of its parameters. The database is
    /// always the one at hand, and is called ``currentDatabase``.
    package let object: String
    /// `SELECT`, `EXECUTE`, …
    package let right: String

    static let currentDatabase = "current_database"

    package init(_ kind: Kind, _ object: String, _ right: String) {
        self.kind = kind
        self.object = object
        self.right = right
    }

    package var description: String { "\(right) on \(kind.rawValue) \(object)" }

    package static func < (a: Privilege, b: Privilege) -> Bool {
        (a.kind.rawValue, a.object, a.right) < (b.kind.rawValue, b.object, b.right)
    }

    static func table(_ name: String, _ rights: String...) -> [Privilege] {
        rights.map { Privilege(.table, name, $0) }
    }
}

extension ServiceRole {
    /// What each service's statements need of the sidecar. The one list of its kind: `oversync migrate` grants it, and
    /// a test runs every service with it. Rights on business tables follow from the catalog: ``BusinessPrivileges``.
    package var sidecarPrivileges: [Privilege] {
        let connect = [Privilege(.database, Privilege.currentDatabase, "CONNECT")]
        let sync = connect + [Privilege(.schema, "sync", "USAGE")]
        switch self {
        case .upload: return sync + Self.uploads
        case .download: return sync + Self.downloads
        case .maintenance: return sync + Self.prunes
        case .auth:
            // LOCK TABLE in the mode that excludes other replicas takes UPDATE.
            return connect + [Privilege(.schema, "oversync_auth", "USAGE")]
                + Privilege.table("oversync_auth.signing_key", "SELECT", "INSERT", "UPDATE")
                + Privilege.table("oversync_auth.layout", "SELECT")
                // Append-only.
                + Privilege.table("oversync_auth.audit", "INSERT")
                + [
                    Privilege(
                        .function, "oversync_auth.record_configuration(text, jsonb)", "EXECUTE")
                ]
        }
    }

    private static let uploads: [Privilege] =
        Privilege.table("sync.meta", "SELECT") + Privilege.table("sync.catalog", "SELECT")
        // Locking a row takes UPDATE too.
        + Privilege.table("sync.scope", "SELECT", "INSERT", "UPDATE")
        // UPDATE is for an administrator who revokes a device.
        + Privilege.table("sync.source", "SELECT", "INSERT", "UPDATE")
        // UPDATE is for an Upload of layout 11, which goes on while services are replaced. The next
        // layout takes it away.
        + Privilege.table("sync.change_log", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.returned_table", "INSERT")
        + Privilege.table("sync.atomic_upload", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.uncaptured_write", "SELECT")
        + Privilege.table("sync.row_state", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.usage", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.key_owner", "SELECT", "INSERT", "UPDATE", "DELETE")
        + Privilege.table("sync.materialize_failures", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.hydration", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.device_report", "SELECT", "INSERT", "UPDATE")
        + Privilege.table("sync.key_lease", "SELECT", "INSERT", "UPDATE")
        // Append-only: what administrators do is recorded here.
        + Privilege.table("sync.audit", "INSERT")
        // For the metrics. A view's functions need the right of who reads it.
        + Privilege.table("sync.health", "SELECT")
        + Privilege.table("sync.database_health", "SELECT")
        + [
            "sync.row_widths()", "sync.vacuum_holders()",
            "sync.expect_rows(bigint, bigint)", "sync.expect_no_columns(text[], text[])",
            "sync.key_text(bytea, text)", "sync.refuse_row(text, text, text, text)",
            "sync.stored_rows(anyelement, text, anycompatiblearray)",
            "sync.record_configuration(text, text, jsonb)", "sync.quotas()",
            "sync.lease_keys(bigint, text, smallint, regclass, integer, bigint, bigint)",
            "sync.read_audit(text, bigint, integer)",
        ].map { Privilege(.function, $0, "EXECUTE") }

    /// Nothing but reading, so that a page can come from a hot standby.
    private static let downloads: [Privilege] =
        [
            "meta", "catalog", "scope", "source", "change_log", "hydration", "returned_table",
            "atomic_upload", "row_state",
        ].flatMap { Privilege.table("sync.\($0)", "SELECT") }

    private static let prunes: [Privilege] =
        Privilege.table("sync.meta", "SELECT") + Privilege.table("sync.catalog", "SELECT")
        + Privilege.table("sync.row_state", "SELECT")
        + Privilege.table("sync.scope", "SELECT", "UPDATE")
        + Privilege.table("sync.source", "SELECT", "UPDATE")
        + [
            "change_log", "hydration", "atomic_upload", "materialize_failures", "device_report",
            "key_lease",
        ].flatMap { Privilege.table("sync.\($0)", "SELECT", "DELETE") }
        // It verifies some users, and shares the work with other processes.
        + Privilege.table("sync.key_owner", "SELECT")
        + Privilege.table("sync.lease", "SELECT", "INSERT", "UPDATE")
        // That it pruned is recorded, too.
        + Privilege.table("sync.audit", "INSERT")
        + [
            // `oversync users show` tells them.
            Privilege(.function, "sync.quotas()", "EXECUTE"),
            Privilege(.table, "sync.usage", "SELECT"),
            // Of a last change that goes.
            Privilege(
                .function, "sync.prune_audit(double precision, bigint)", "EXECUTE"),
            // Of a last change that goes.
            Privilege(
                .function,
                "sync.change_tag(bigint, \"char\", bigint, bigint, bigint, "
                    + "timestamp with time zone, bytea)", "EXECUTE"),
        ]
}
