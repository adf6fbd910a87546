import Model
import Postgres
import Sidecar

/// What Upload's role must be allowed to do. A test runs every statement of Upload as a role with exactly this.
package enum UploadPrivileges {
    /// On the sidecar: without one of these no upload is possible.
    package static let sidecar = ServiceRole.upload.requiredPrivileges

    /// On one registered business table: without it uploads to this table fail. Tables that only the sidecar
    /// keeps have none.
    package static func business(_ table: RegisteredTable) -> [RequiredPrivileges] {
        guard table.mode == .table, !table.isRemoved else { return [] }
        return [
            RequiredPrivileges(schema: table.name.schema),
            RequiredPrivileges(
                schema: table.name.schema, table: table.name.table,
                [.select, .insert, .update, .delete]),
        ]
    }
}
