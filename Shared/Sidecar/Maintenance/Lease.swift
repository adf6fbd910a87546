import Postgres

/// The right to run a scheduled job. One process has it at a time.
///
/// It is a row with an expiry, not a lock of a session, which a pooler may give to others. Its
/// holder renews it while it works, and stops as soon as it cannot. Another process takes it when
/// it has expired, or was given back.
package struct Lease: Hashable, Sendable {
    /// The job.
    package let name: String
    /// The process, under a name that no other has had.
    package let holder: String
    /// How long it is good without being renewed, in seconds.
    package let seconds: Int64

    package init(of name: String, for holder: String, seconds: Int64) {
        self.name = name
        self.holder = holder
        self.seconds = seconds
    }

    /// Takes the lease if the job is due and nobody has it.
    ///
    /// - Parameter pace: when the job is due.
    /// - Returns: where the job goes on; nil if there is nothing to do for this process.
    package func take(
        if pace: JobPace, on connection: PostgresConnection
    ) async throws(PostgresError) -> Int64? {
        try await connection.run(LeaseStatements.Take(lease: self, pace: pace)).first()
    }

    /// Lengthens the lease.
    ///
    /// - Returns: false if another process has it: this one must stop.
    package func renew(on connection: PostgresConnection) async throws(PostgresError) -> Bool {
        try await !connection.run(LeaseStatements.Renew(lease: self)).isEmpty
    }

    /// Records how far the job has come, for the process that goes on after this one.
    package func record(
        _ position: Int64, on connection: PostgresConnection
    ) async throws(PostgresError) {
        try await connection.run(LeaseStatements.Record(lease: self, position: position))
    }

    /// Gives the lease back when the job is done, until it is due again.
    package func end(on connection: PostgresConnection) async throws(PostgresError) {
        try await connection.run(
            LeaseStatements.End(lease: self, isDone: true, pauseSeconds: 0))
    }

    /// Gives the lease back before the job is done.
    ///
    /// - Parameter pauseSeconds: how long no process takes it.
    package func giveBack(
        after pauseSeconds: Int64, on connection: PostgresConnection
    ) async throws(PostgresError) {
        try await connection.run(
            LeaseStatements.End(lease: self, isDone: false, pauseSeconds: pauseSeconds))
    }
}

/// When a job is due: every few hours, counted from an hour of the day in UTC, by the database's
/// clock.
package struct JobPace: Hashable, Sendable {
    package let everyHours: Int
    /// The hour of the day from which the hours count, 0 to 23.
    package let fromHour: Int

    package init(everyHours: Int, fromHour: Int) {
        self.everyHours = everyHours
        self.fromHour = fromHour
    }
}

package enum LeaseStatements {
    /// Answers the position; no row if another holds the lease, or the job was done since it was
    /// last due.
    struct Take: TypedStatement {
        static let statement = Statement(
            name: "lease_take",
            sql: """
                INSERT INTO sync.lease AS l (name, holder, expires_at)
                VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
                ON CONFLICT (name) DO UPDATE SET holder = $2,
                    expires_at = clock_timestamp() + make_interval(secs => $3)
                WHERE l.expires_at < clock_timestamp()
                    AND (l.done_at IS NULL OR l.done_at < to_timestamp(
                        floor((extract(epoch FROM clock_timestamp()) - $5 * 3600)
                            / ($4 * 3600)) * ($4 * 3600) + $5 * 3600))
                RETURNING l.position
                """,
            parameters: [.text, .text, .float8, .int8, .int8])

        let lease: Lease
        let pace: JobPace

        func bind(to bindings: inout Bindings) {
            lease.bind(to: &bindings)
            bindings.bind(Double(lease.seconds))
            bindings.bind(Int64(pace.everyHours))
            bindings.bind(Int64(pace.fromHour))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    /// Answers no row if another has taken the lease. One that has expired and that nobody took is
    /// its holder's still.
    struct Renew: TypedStatement {
        static let statement = Statement(
            name: "lease_renew",
            sql: """
                UPDATE sync.lease SET expires_at = clock_timestamp() + make_interval(secs => $3)
                WHERE name = $1 AND holder = $2 RETURNING true
                """,
            parameters: [.text, .text, .float8])

        let lease: Lease

        func bind(to bindings: inout Bindings) {
            lease.bind(to: &bindings)
            bindings.bind(Double(lease.seconds))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Bool {
            try columns.next(Bool.self)
        }
    }

    struct Record: TypedStatement {
        static let statement = Statement(
            name: "lease_record",
            sql: "UPDATE sync.lease SET position = $3 WHERE name = $1 AND holder = $2",
            parameters: [.text, .text, .int8])

        let lease: Lease
        let position: Int64

        func bind(to bindings: inout Bindings) {
            lease.bind(to: &bindings)
            bindings.bind(position)
        }
    }

    struct End: TypedStatement {
        static let statement = Statement(
            name: "lease_end",
            sql: """
                UPDATE sync.lease SET holder = '',
                    expires_at = clock_timestamp() + make_interval(secs => $4),
                    done_at = CASE WHEN $3 THEN clock_timestamp() ELSE done_at END
                WHERE name = $1 AND holder = $2
                """,
            parameters: [.text, .text, .bool, .float8])

        let lease: Lease
        let isDone: Bool
        let pauseSeconds: Int64

        func bind(to bindings: inout Bindings) {
            lease.bind(to: &bindings)
            bindings.bind(isDone)
            bindings.bind(Double(pauseSeconds))
        }

    }

    package static let all = [
        Take.statement, Renew.statement, Record.statement, End.statement,
    ]
}

extension Lease {
    fileprivate func bind(to bindings: inout Bindings) {
        bindings.bind(name)
        bindings.bind(holder)
    }
}
