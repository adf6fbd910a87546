import DatabaseKit
import Model
import Postgres
import ServiceKit
import Sidecar

/// What Upload's role must be allowed to do. A test runs every statement of Upload as a role with exactly this.
package enum UploadPrivileges {
    /// On the sidecar: without one of these no upload is possible.
    package static let sidecar = ServiceRole.upload.requiredPrivileges

    /// For one registered business table, which is the last entry: without them uploads to this
    /// table fail. Tables that only the sidecar keeps have none.
    package static func business(_ table: RegisteredTable) -> [RequiredPrivileges] {
        guard table.mode == .table, !table.isRemoved else { return [] }
        return BusinessPrivileges.of(table).map(\.required)
    }

    /// What Upload needs of its database. The registered tables are those in memory: a probe reads
    /// no catalog.
    static func needs(_ source: CatalogSource, _ tables: TableTroubles) -> DatabaseNeeds {
        let catalog = DatabaseNeeds.state(of: source)
        return DatabaseNeeds(
            layout: Migration.currentVersion, privileges: sidecar, writes: true,
            remembered: { catalog() + tables.problems() },
            business: {
                (source.known?.tables ?? []).map(UploadPrivileges.business)
                    .filter { !$0.isEmpty }
            })
    }
}
