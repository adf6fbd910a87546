import Model
import WireJSON

extension DatabaseOverview {
    /// The members of a JSON object: those of `oversync status` and of `/admin/overview`.
    package func members(
        epoch: String, registeredTables: Int
    ) -> [(name: String, value: JSONDocument?)] {
        [
            ("name", .string(database)), ("server_version", .string(serverVersion)),
            ("is_standby", .bool(isStandby)), ("epoch", .string(epoch)),
            ("registered_tables", .integer(Int64(registeredTables))),
            ("users", .integer(users)), ("devices", .integer(devices)),
            ("active_devices", .integer(activeDevices)),
            ("revoked_devices", .integer(revokedDevices)),
            ("estimated_changes", estimatedChanges.map { .integer($0) }),
            ("log_bytes", .integer(logBytes)),
            ("rejected_changes", .integer(openFailures)),
            ("oldest_rejected_seconds", oldestFailure.map { .integer($0) }),
            ("oldest_transaction_seconds", oldestTransaction.map { .integer($0) }),
            ("standbys", .integer(standbys)),
            ("standby_lag_bytes", standbyLagBytes.map { .integer($0) }),
        ]
    }
}

extension TableOverview {
    /// Devices may lack what plain SQL wrote to the table.
    package var lacksCapture: Bool { !captureProblems.isEmpty || uncapturedSince != nil }

    /// What `oversync tables --json` prints, and `/admin/tables` answers.
    package var document: JSONDocument {
        [
            "table": .string("\(table.name)"), "mode": .string(table.mode.rawValue),
            "key": .string(table.keyColumn), "key_kind": .string(table.keyKind.rawValue),
            "owner": table.ownerColumn.map { .string($0) },
            "registered": .bool(!table.isRemoved),
            "estimated_rows": estimatedRows.map { .integer($0) },
            "bytes": bytes.map { .integer($0) }, "rejected_changes": .integer(openFailures),
            "is_captured": table.mode == .table ? .bool(!lacksCapture) : nil,
            "capture_problems": .array(captureProblems.map { .string($0) }),
            "uncaptured_since_seconds": uncapturedSince.map { .integer($0) },
        ]
    }
}

extension SidecarHealth {
    /// Members of `/admin/overview`.
    package var members: [(name: String, value: JSONDocument?)] {
        var members: [(name: String, value: JSONDocument?)] = []
        members.append(("held_by", database.heldBy.map { .string($0) }))
        members.append(("held_by_name", database.heldByName.map { .string($0) }))
        members.append(("held_transactions", database.heldTransactions.map { .integer($0) }))
        members.append(("newest_floor_seconds", whole(database.newestFloor)))
        members.append(("oldest_floor_seconds", whole(database.oldestFloor)))
        members.append(("warnings", .array(warnings.map { .string($0) })))
        members.append(("sidecar", .array(tables.map { $0.document(of: parts) })))
        return members
    }
}

extension TableHealth {
    /// One of the tables in `/admin/overview`.
    ///
    /// - Parameter parts: tables and partitions; it takes its own.
    fileprivate func document(of parts: [TableHealth]) -> JSONDocument {
        var members: [(name: String, value: JSONDocument?)] = []
        members.append(("table", .string(table)))
        members.append(("bytes", .integer(bytes)))
        members.append(("estimated_rows", .integer(estimatedRows ?? 0)))
        members.append(("dead_rows", .integer(deadRows)))
        members.append(("vacuum_above_rows", .integer(vacuumAboveRows)))
        members.append(("bloat_bytes", bloatBytes.map { .integer($0) }))
        members.append(("index_only_percent", whole(indexOnlyShare.map { $0 * 100 })))
        members.append(("last_vacuum", whole(lastVacuum)))
        let own = parts.filter { $0.table == table && $0.partition != nil }
        if !own.isEmpty { members.append(("partitions", .array(own.map(\.partitionDocument)))) }
        return .object(members)
    }

    private var partitionDocument: JSONDocument {
        [
            "partition": .string(partition ?? ""), "bytes": .integer(bytes),
            "estimated_rows": estimatedRows.map { .integer($0) }, "dead_rows": .integer(deadRows),
        ]
    }
}

/// Without its fraction. What a database says need not fit.
private func whole(_ number: Double?) -> JSONDocument? {
    number.flatMap { Int64(exactly: $0.rounded(.down)) }.map { .integer($0) }
}
