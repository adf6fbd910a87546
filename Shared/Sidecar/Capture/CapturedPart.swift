import Model
import Postgres

/// A partition of a registered table, or a table that inherits from one, at any depth: what is
/// written to it by its own name runs no trigger of the registered table.
struct CapturedPart {
    let of: TableID
    let name: TableName
    /// PostgreSQL copies row triggers to a partition, and not to a table that inherits.
    let isPartition: Bool
    /// How many of its capture triggers are on.
    let triggers: Int64
    /// How many of the triggers that record writes without capture are on, and how many are not.
    let recording: Recording

    struct Recording {
        let on: Int64
        let reset: Int64
    }

    var isComplete: Bool { triggers == Int64(CaptureTrigger.all.count) }
    var isInstalled: Bool { isComplete && recording.on == Int64(recorders.count) }
    /// It was captured before, and something switched triggers off.
    var wasSwitchedOff: Bool {
        !isComplete && triggers + recording.on + recording.reset > 0 || recording.reset > 0
    }

    private var recorders: [UncapturedTrigger] {
        UncapturedTrigger.all.filter { !(isPartition && $0.isOfRow) }
    }

    /// The registered table of a row `c` of `sync.catalog`.
    static let registered = "to_regclass(format('%I.%I', c.schema_name, c.table_name))"

    /// The relations below `root` that can have capture triggers, as a query: foreign tables have
    /// no transition tables, and another session's temporary tables are out of reach.
    ///
    /// - Parameter root: SQL of an object identifier.
    static func below(_ root: String) -> String {
        """
        WITH RECURSIVE below AS (
            SELECT h.inhrelid AS oid FROM pg_inherits h WHERE h.inhparent = \(root)
            UNION SELECT h.inhrelid FROM below JOIN pg_inherits h ON h.inhparent = below.oid
        )
        SELECT b.oid, b.relname, b.relnamespace, b.relispartition
        FROM below JOIN pg_class b ON b.oid = below.oid
        WHERE b.relkind IN ('r', 'p') AND b.relpersistence <> 't'
        """
    }

    /// The number of capture triggers of `relation` that are on and run `function` as those of a
    /// part.
    static func triggerCount(of relation: String, running function: String) -> String {
        """
        (SELECT count(*) FROM pg_trigger t
        WHERE t.tgrelid = \(relation) AND t.tgname ^@ 'oversync_capture_' AND t.tgfoid = \(function)
            AND t.tgnargs > 0 AND t.tgenabled IN ('O', 'A'))
        """
    }

    /// The triggers that call the function of the registered table.
    func install(_ function: CaptureFunction) -> String {
        let id = function.table.id
        let triggers =
            CaptureTrigger.all.map { $0.create(on: name, of: function, isPart: true) }
            + recorders.map { $0.create(on: name, of: id, isPart: true) }
        return triggers.joined(separator: "\n")
    }
}

extension SidecarStatements {
    /// The parts of registered tables, in the order of their names.
    struct ReadCapturedParts: TypedStatement {
        static let statement = Statement(
            name: "sidecar_captured_parts",
            sql: """
                SELECT c.table_id, n.nspname, p.relname, p.relispartition,
                    \(CapturedPart.triggerCount(
                        of: "p.oid", running: "to_regproc('sync.capture_' || c.table_id)::oid")),
                    \(UncapturedTrigger.count(of: "p.oid", isOn: true, arguments: 2)),
                    \(UncapturedTrigger.count(of: "p.oid", isOn: false, arguments: 2))
                FROM sync.catalog c
                CROSS JOIN LATERAL (
                    \(CapturedPart.below(CapturedPart.registered))
                ) AS p
                JOIN pg_namespace n ON n.oid = p.relnamespace
                WHERE c.removed_at IS NULL AND c.mode = 'table'
                ORDER BY c.table_id, n.nspname, p.relname
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> CapturedPart {
            CapturedPart(
                of: try columns.next(Int16.self), name: try TableName(columns: &columns),
                isPartition: try columns.next(Bool.self), triggers: try columns.next(Int64.self),
                recording: .init(
                    on: try columns.next(Int64.self), reset: try columns.next(Int64.self)))
        }
    }
}
