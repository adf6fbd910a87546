@testable import DownloadService
import Model
import Postgres
@testable import Sidecar
@testable import UploadService

/// One statement as the stranger would have it run, aimed at ann's rows.
struct StatementAttempt: Sendable {
    let statement: Statement
    let confinement: Confinement
    /// The stranger's values.
    let bind: @Sendable (inout Bindings, Stranger) -> Void

    init(
        _ statement: Statement, _ confinement: Confinement,
        _ bind: @Sendable @escaping (inout Bindings, Stranger) -> Void = { _, _ in }
    ) {
        self.statement = statement
        self.confinement = confinement
        self.bind = bind
    }

    /// Every fixed statement of the services. Those that write come last: what they leave is the stranger's.
    static let all =
        transactions + catalog + keys + reads + downloads + administration
        + deviceAdministration + audit + partitions + writes

    private static let transactions = [
        UploadStatements.begin, UploadStatements.savepoint, UploadStatements.rollbackToSavepoint,
        UploadStatements.releaseSavepoint, UploadStatements.deferConstraints,
        UploadStatements.checkConstraints, UploadStatements.commit, UploadStatements.rollback,
        UploadStatements.enterDeletes, UploadStatements.enterUpserts,
        UploadStatements.renderAsCapture,
        DownloadStatements.begin, DownloadStatements.commit,
    ].map { StatementAttempt($0, .nobodysRows) }

    private static let catalog =
        [
            SidecarStatements.metaExists, SidecarStatements.layoutVersion,
            SidecarStatements.ReadRegisteredTables.statement,
            SidecarStatements.hasDeferrableConstraints, UploadStatements.ReadEpoch.statement,
            FlawStatements.mayWrite, FlawStatements.ReadStates.statement,
        ].map { StatementAttempt($0, .nobodysRows) }
        + [
            StatementAttempt(FlawStatements.ReadShapes.statement, .nobodysRows) {
                let shapes = $1.tables.keys.map {
                    TableShape(name: $0, keyColumn: "id", ownerColumn: "owner")
                }
                FlawStatements.ReadShapes(tables: shapes).bind(to: &$0)
            },
            StatementAttempt(UploadStatements.ReadUniqueIndex.statement, .nobodysRows) {
                bindings, _ in
                let index = ViolatedIndex(schema: "s", name: "notes_pkey")
                UploadStatements.ReadUniqueIndex(index: index).bind(to: &bindings)
            },
        ]
        + [
            SidecarStatements.ReadColumns.statement, SidecarStatements.ReadForeignKeys.statement,
            SidecarStatements.ReadUniqueKeys.statement, SidecarStatements.ReadRowTriggers.statement,
            SidecarStatements.ReadComparisons.statement,
        ].map { statement in
            StatementAttempt(statement, .nobodysRows) { bindings, stranger in
                var names = ArrayBinding(of: .text)
                for table in stranger.tables.keys { names.append(table.description) }
                bindings.bind(names)
            }
        }

    private static let reads = [
        StatementAttempt(UploadStatements.configure, .nobodysRows) { bindings, _ in
            for _ in 0..<3 { bindings.bind("5000") }
        },
        StatementAttempt(UploadStatements.configureWithClaims, .nobodysRows) { bindings, _ in
            for _ in 0..<3 { bindings.bind("5000") }
            bindings.bind(#"{"sub":"\#(Victim.user)"}"#)
        },
        StatementAttempt(UploadStatements.boundAttempt, .nobodysRows) { bindings, _ in
            for _ in 0..<2 { bindings.bind("5000") }
        },
        StatementAttempt(UploadStatements.enterWrites, .nobodysRows) { bindings, stranger in
            for text in ["5000", "\(stranger.scope)", "1", "9"] { bindings.bind(text) }
        },
        StatementAttempt(FindScope.statement, .user("user_id = $1")) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(UploadStatements.LockScope.statement, .named) { $1.claim(&$0) },
        StatementAttempt(UploadStatements.LockScopeOfPair.statement, .named) {
            $1.claim(&$0)
            $0.bind(Int64(1))
        },
        StatementAttempt(ReadTaggedChange.statement, .named) {
            $1.claim(&$0)
            $0.bind(Int64(1))
        },
        StatementAttempt(UserScope.create, .user("VALUES ($1)")) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(UploadStatements.ReadHead.statement, .named) { $1.claim(&$0) },
        StatementAttempt(UploadStatements.expectHead, .named) {
            $1.claim(&$0)
            // Where the stranger's own log ends.
            $0.bind(Int64(1))
        },
        StatementAttempt(UploadStatements.ReadSource.statement, .named) { bindDevice(&$0, $1) },
        StatementAttempt(UploadStatements.ReadKnownChanges.statement, .named) {
            bindings, stranger in
            stranger.claim(&bindings)
            bindings.bind(Stranger.victimsDevice)
            var ids = ArrayBinding(of: .int8)
            for id in 1...8 { ids.append(Int64(id)) }
            bindings.bind(ids)
            // What they hold is not known; their keys are.
            bindings.bind(ids)
            var keys = ArrayBinding(of: .bytea)
            for row in stranger.victimsRows { row.key.withUnsafeBytes { keys.append(bytes: $0) } }
            bindings.bind(keys)
        },
        StatementAttempt(UploadStatements.ReadRowStates.statement, .named) { bindings, stranger in
            stranger.claim(&bindings)
            bindRows(&bindings, stranger)
        },
        StatementAttempt(UploadStatements.ReadPayloads.statement, .named) { bindings, stranger in
            stranger.claim(&bindings)
            var sequences = ArrayBinding(of: .int8)
            for sequence in 1...20 { sequences.append(Int64(sequence)) }
            bindings.bind(sequences)
        },
        StatementAttempt(UploadStatements.expectNoColumns, .nobodysRows) { bindings, _ in
            for texts in [["s.notes"], ["nothing"]] {
                var array = ArrayBinding(of: .text)
                for text in texts { array.append(text) }
                bindings.bind(array)
            }
        },
    ]

    private static func bindRows(_ bindings: inout Bindings, _ stranger: Stranger) {
        var tables = ArrayBinding(of: .int2)
        var keys = ArrayBinding(of: .bytea)
        var bases = ArrayBinding(of: .int8)
        for row in stranger.victimsRows {
            tables.append(row.table)
            row.key.withUnsafeBytes { keys.append(bytes: $0) }
            bases.append(Int64(99))
        }
        for array in [tables, keys, bases] { bindings.bind(array) }
    }

    @Sendable
    private static func bindPage(_ bindings: inout Bindings, _ stranger: Stranger) {
        stranger.claim(&bindings)
        for number in [0, Int64.max, 1000] { bindings.bind(number) }
        bindings.bind(bytes: nil)
        bindings.bind(Stranger.victimsDevice)
    }

    @Sendable
    private static func bindBuckets(_ bindings: inout Bindings, _ stranger: Stranger) {
        stranger.claim(&bindings)
        bindings.bind(stranger.victimsRows.first?.table)
        bindings.bind(true)
        bindings.bind(Int32(8))
    }

    private static let downloads =
        [
            StatementAttempt(DownloadStatements.ReadScope.statement, .named) {
                bindDevice(&$0, $1)
                $0.bind(Int64(SourceNames.alongWithPage))
            },
            StatementAttempt(DownloadStatements.ReadSourceNames.statement, .named) {
                bindings, stranger in
                stranger.claim(&bindings)
                var numbers = ArrayBinding(of: .int4)
                for number in 1...3 { numbers.append(Int32(number)) }
                bindings.bind(numbers)
            },
            StatementAttempt(DownloadStatements.ReadBootstrap.statement, .named, bindDevice),
            StatementAttempt(DownloadStatements.ReadAtomicUpload.statement, .named) {
                $1.claim(&$0)
                $0.bind(Victim.atomicSequence)
            },
            StatementAttempt(DownloadStatements.ReadHistory.statement, .named) {
                $1.claim(&$0)
                for number in [1, Int64.max] { $0.bind(number) }
            },
            StatementAttempt(DownloadStatements.ReadDigests.statement, .named) {
                bindings, stranger in
                stranger.claim(&bindings)
                var tables = ArrayBinding(of: .int2)
                var kinds = ArrayBinding(of: .bool)
                for table in Set(stranger.victimsRows.map(\.table)) {
                    tables.append(table)
                    kinds.append(true)
                }
                for array in [tables, kinds] { bindings.bind(array) }
            },
            StatementAttempt(DownloadStatements.ReadBuckets.statement, .named, bindBuckets),
            StatementAttempt(DownloadStatements.ReadTerms.statement, .named) { bindings, stranger in
                bindBuckets(&bindings, stranger)
                var buckets = ArrayBinding(of: .int4)
                for bucket in 0..<256 { buckets.append(Int32(bucket)) }
                bindings.bind(buckets)
                bindings.bind(Int64(1000))
            },
            StatementAttempt(DownloadStatements.ReadNewestChanges.statement, .named) {
                bindings, stranger in
                stranger.claim(&bindings)
                bindings.bind(stranger.victimsRows.first?.table)
                var keys = ArrayBinding(of: .bytea)
                for row in stranger.victimsRows {
                    row.key.withUnsafeBytes { keys.append(bytes: $0) }
                }
                bindings.bind(keys)
                for number in [0, Int64(1 << 20)] { bindings.bind(number) }
            },
            StatementAttempt(DownloadStatements.ReadPage.statement, .named, bindPage),
            StatementAttempt(DownloadStatements.ReadWholePage.statement, .named) {
                bindings, stranger in
                stranger.claim(&bindings)
                for number in [0, Int64.max, 1000] { bindings.bind(number) }
            },
            StatementAttempt(DownloadStatements.ReadLargeRows.statement, .named, bindPage),
            StatementAttempt(DownloadStatements.ReadHeads.statement, .user("unnest($1::text[])")) {
                bindings, _ in
                var users = ArrayBinding(of: .text)
                users.append(Stranger.user)
                bindings.bind(users)
            },
            StatementAttempt(DownloadStatements.ReadMark.statement, .nobodysRows) { _, _ in },
            StatementAttempt(DownloadStatements.ReadServer.statement, .nobodysRows) { _, _ in },
            StatementAttempt(
                DownloadStatements.ReadGrown.statement, .user("unnest($1::text[], $2::int8[])")
            ) { bindings, _ in
                var users = ArrayBinding(of: .text)
                users.append(Stranger.user)
                bindings.bind(users)
                var known = ArrayBinding(of: .int8)
                known.append(Int64(0))
                bindings.bind(known)
            },
            StatementAttempt(UploadStatements.noteHydration, .user("user_id = $1")) { bindings, _ in
                bindings.bind(Stranger.user)
                bindings.bind(Stranger.victimsDevice)
                bindings.bind(Int64(1))
            },
            StatementAttempt(
                KeyLeaseStatements.ReadStanding.statement, .user("s.user_id = $1")
            ) { bindings, _ in
                bindings.bind(Stranger.user)
                bindings.bind(Stranger.victimsDevice)
            },
            StatementAttempt(KeyLeaseStatements.Lease.statement, .user("s.user_id = $1")) {
                bindings, _ in
                bindings.bind(Stranger.user)
                bindings.bind(Stranger.victimsDevice)
                bindings.bind(Int16(1))
                // No sequence: nothing is taken.
                bindings.bind(Int64(0))
                bindings.bind(Int32(1))
                bindings.bind(Int64(1))
                bindings.bind(Int64.max)
            },
            StatementAttempt(ReadErrorLog.statement, .nobodysRows),
        ] + devices + MeasuringStatements.all.map { StatementAttempt($0, .nobodysRows) }

    @Sendable private static func bindDevice(_ bindings: inout Bindings, _ stranger: Stranger) {
        stranger.claim(&bindings)
        bindings.bind(Stranger.victimsDevice)
    }

    private static let writes = [
        StatementAttempt(UploadStatements.advanceScope, .named) {
            $1.claim(&$0)
            $0.bind(Int64(1000))
            $0.bind(Int64(1))
        },
        StatementAttempt(UploadStatements.appendLog, .scope("SELECT $1, $2, u.*")) {
            bindings, stranger in
            bindings.bind(stranger.scope)
            bindings.bind(stranger.source)
            bindLog(&bindings, stranger)
        },
        StatementAttempt(UploadStatements.appendLogOfDevices, .scope("SELECT $1, u.*")) {
            bindings, stranger in
            bindings.bind(stranger.scope)
            var sources = ArrayBinding(of: .int4)
            for _ in stranger.victimsRows { sources.append(stranger.source) }
            bindings.bind(sources)
            bindLog(&bindings, stranger, after: 1000)
        },
        StatementAttempt(UploadStatements.insertRowState, .scope("SELECT $1, u.*")) {
            bindings, stranger in
            bindings.bind(stranger.scope)
            bindStates(&bindings, stranger)
        },
        StatementAttempt(UploadStatements.writeRowState, .scope("SELECT $1, u.*")) {
            bindings, stranger in
            bindings.bind(stranger.scope)
            bindStates(&bindings, stranger)
        },
        StatementAttempt(UploadStatements.recordFailure, .scope("VALUES ($1,")) {
            bindings, stranger in
            bindings.bind(stranger.scope)
            bindings.bind(stranger.number(of: "refusing"))
            bindings.bind(
                bytes: stranger.victimsRows.first { $0.table == stranger.number(of: "refusing") }?
                    .key)
            bindings.bind(Int64(1))
            bindings.bind(bytes: Array("I".utf8))
            bindings.bind("{}")
            bindings.bind(stranger.source)
            bindings.bind(Int64(5))
            for text in ["23514", "mine"] { bindings.bind(text) }
            bindings.bind(Int64(7))
            bindings.bind(bytes: nil)
        },
        StatementAttempt(UploadStatements.recordAtomicUpload, .named) {
            $1.claim(&$0)
            $0.bind(Int64(1))
            $0.bind($1.source)
        },
        StatementAttempt(UploadStatements.CreateSource.statement, .named) {
            bindDevice(&$0, $1)
            $0.bind(Int64(5))
        },
        StatementAttempt(UploadStatements.CountUsage.statement, .named) {
            $1.claim(&$0)
            $0.bind(UploadStatements.CountUsage.maximumChanges)
            $0.bind(UploadStatements.CountUsage.maximumStoredBytes)
        },
    ]

    private static func bindLog(
        _ bindings: inout Bindings, _ stranger: Stranger, after sequence: Int64 = 900
    ) {
        var sequences = ArrayBinding(of: .int8)
        var tables = ArrayBinding(of: .int2)
        var operations = ArrayBinding(of: .char)
        var keys = ArrayBinding(of: .bytea)
        var versions = ArrayBinding(of: .int8)
        var payloads = ArrayBinding(of: .json)
        for (n, row) in stranger.victimsRows.enumerated() {
            sequences.append(sequence + Int64(n))
            tables.append(row.table)
            operations.append(char: UInt8(ascii: "I"))
            row.key.withUnsafeBytes { keys.append(bytes: $0) }
            versions.append(Int64(1))
            payloads.append("{}")
        }
        for array in [sequences, tables, operations, keys, versions, payloads] {
            bindings.bind(array)
        }
        for _ in 0..<2 { bindings.bind(sequences) }
        bindings.bind(microsecondsSince2000: 0)
    }

    private static func bindStates(_ bindings: inout Bindings, _ stranger: Stranger) {
        var tables = ArrayBinding(of: .int2)
        var keys = ArrayBinding(of: .bytea)
        var numbers = ArrayBinding(of: .int8)
        var deleted = ArrayBinding(of: .bool)
        for row in stranger.victimsRows {
            tables.append(row.table)
            row.key.withUnsafeBytes { keys.append(bytes: $0) }
            numbers.append(Int64(900))
            deleted.append(true)
        }
        for array in [tables, keys, numbers, numbers, deleted] { bindings.bind(array) }
    }
}
