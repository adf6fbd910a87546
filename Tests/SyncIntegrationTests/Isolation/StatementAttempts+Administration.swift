import Model
import Postgres
@testable import Sidecar
@testable import UploadService

/// Of operators, administrators and jobs.
extension StatementAttempt {
    static let administration = [
        StatementAttempt(OpenFailures.List.statement, .administrators) { bindings, _ in
            for text in ["", "", Stranger.user] { bindings.bind(text) }
            for number in [0, Int64(100)] { bindings.bind(number) }
        },
        StatementAttempt(FailureStatements.probe, .administrators) { $0.bind($1.failure) },
        StatementAttempt(FailureStatements.resolve, .administrators) { $0.bind($1.failure) },
        StatementAttempt(CompactionStatements.ReadNextScope.statement, .administrators) {
            bindings, _ in
            bindings.bind(Int64(0))
            bindings.bind(Stranger.user)
        },
        StatementAttempt(CompactionStatements.LockScope.statement, .scope("scope_id = $1")) {
            $0.bind($1.scope)
        },
        StatementAttempt(CompactionStatements.RemoveSuperseded.statement, .scope("scope_id = $1")) {
            bindStretch(&$0, $1)
        },
        StatementAttempt(CompactionStatements.RemoveTombstones.statement, .scope("scope_id = $1")) {
            bindStretch(&$0, $1)
        },
        StatementAttempt(CompactionStatements.CountSuperseded.statement, .scope("scope_id = $1")) {
            bindStretch(&$0, $1)
        },
        StatementAttempt(CompactionStatements.CountTombstones.statement, .scope("scope_id = $1")) {
            bindStretch(&$0, $1)
        },
        StatementAttempt(CompactionStatements.CountFailures.statement, .administrators) {
            bindings, _ in
            bindings.bind(Double(0))
            bindings.bind(Stranger.user)
        },
        StatementAttempt(
            CompactionStatements.ForgetAtomicUploads.statement, .scope("scope_id = $1")
        ) { bindings, stranger in
            for number in [stranger.scope, 0, 1000] { bindings.bind(number) }
        },
        StatementAttempt(CompactionStatements.RemoveFailures.statement, .administrators) {
            bindings, _ in
            bindings.bind(Double(0))
            bindings.bind(Stranger.user)
            bindings.bind(Int64(100))
        },
        // Of everybody, but only what has no meaning any more.
        StatementAttempt(CompactionStatements.forgetHydrations, .administrators),
        StatementAttempt(CompactionStatements.forgetReports, .administrators) { bindings, _ in
            bindings.bind(Double(90 * 86_400))
        },
        StatementAttempt(CompactionStatements.forgetLeases, .administrators) { bindings, _ in
            bindings.bind(Double(90 * 86_400))
        },
        StatementAttempt(ForeignKeyStatements.ReadImmediateKeys.statement, .nobodysRows),
        StatementAttempt(OverviewStatements.ReadDatabase.statement, .administrators) {
            bindings, _ in bindings.bind(Int64(100))
        },
        StatementAttempt(OverviewStatements.ReadTables.statement, .administrators) {
            bindings, _ in bindings.bind(Int64(100))
        },
        StatementAttempt(HealthStatements.ReadTables.statement, .nobodysRows),
        StatementAttempt(HealthStatements.ReadDatabase.statement, .nobodysRows),
        StatementAttempt(LeaseStatements.Take.statement, .nobodysRows) { bindings, _ in
            bindings.bind("job")
            bindings.bind("holder")
            bindings.bind(Double(1))
            bindings.bind(Int64(24))
            bindings.bind(Int64(3))
        },
        StatementAttempt(LeaseStatements.Renew.statement, .nobodysRows) { bindings, _ in
            bindings.bind("job")
            bindings.bind("holder")
            bindings.bind(Double(1))
        },
        StatementAttempt(LeaseStatements.Record.statement, .nobodysRows) { bindings, _ in
            bindings.bind("job")
            bindings.bind("holder")
            bindings.bind(Int64(1))
        },
        StatementAttempt(LeaseStatements.End.statement, .nobodysRows) { bindings, _ in
            bindings.bind("job")
            bindings.bind("holder")
            bindings.bind(true)
            bindings.bind(Double(0))
        },
        StatementAttempt(EpochStatements.Read.statement, .nobodysRows),
        StatementAttempt(EpochStatements.Begin.statement, .administrators),
    ]

    static let partitions = PartitionStatements.all.map { StatementAttempt($0, .nobodysRows) }

    private static func bindStretch(_ bindings: inout Bindings, _ stranger: Stranger) {
        for number in [stranger.scope, 0, 1000, -60] { bindings.bind(number) }
    }
}
