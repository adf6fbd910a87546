import Foundation
import Postgres
import ServiceKit
import Sidecar
import WireJSON

extension AuditOrigin {
    /// Who runs this program: the database's role, and the user and name of the machine.
    static var thisTerminal: AuditOrigin {
        .session(on: "\(ProcessInfo.processInfo.userName)@\(ReplicaName.ofThisHost)")
    }
}

extension AuditTrail {
    private static let secondsPerDay: Int64 = 86_400

    static var ofThisTerminal: AuditTrail { AuditTrail(.thisTerminal) }

    /// Removes old rows of the audit, and records that.
    ///
    /// - Returns: how many.
    func prune(
        olderThanDays days: Int, on connection: PostgresConnection
    ) async throws -> Int64 {
        try await prune(olderThan: Int64(days) * Self.secondsPerDay, on: connection)
    }

    /// - Parameter age: in seconds.
    func prune(olderThan age: Int64, on connection: PostgresConnection) async throws -> Int64 {
        try await record(
            .pruneAudit, of: "older than \(age) s", on: connection
        ) {
            let removed = try await AuditLog(connection: connection).prune(olderThan: age)
            return .init(removed, ["rows": .integer(removed)])
        }
    }
}
