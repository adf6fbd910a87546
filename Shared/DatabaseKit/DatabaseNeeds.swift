import Postgres
import ServiceKit

/// What a service needs of its database in addition to an answer.
package struct DatabaseNeeds: Sendable {
    /// The layout that the code is made for.
    package var layout: Int
    /// Where the service's role may read the installed layout.
    package var layoutTable: LayoutTable
    /// Privileges without which the service can do nothing.
    package var privileges: [RequiredPrivileges]
    /// Privileges without which it cannot serve some business tables: a list for each table, whose
    /// last entry is the table itself. Asked for with each probe, as tables are registered at any
    /// time.
    package var business: @Sendable () async throws -> [[RequiredPrivileges]]
    /// Whether it writes: a standby and a database that is set to read-only are of no use then.
    package var writes: Bool
    /// What the service knows of the database by itself, such as that its copy of the catalog is
    /// old. From memory.
    package var remembered: @Sendable () -> [ReadinessProblem]

    package init(
        layout: Int, in layoutTable: LayoutTable = .sidecar, privileges: [RequiredPrivileges],
        writes: Bool, remembered: @escaping @Sendable () -> [ReadinessProblem] = { [] },
        business: @escaping @Sendable () async throws -> [[RequiredPrivileges]] = { [] }
    ) {
        self.layout = layout
        self.layoutTable = layoutTable
        self.privileges = privileges
        self.writes = writes
        self.remembered = remembered
        self.business = business
    }
}

/// A table or view with the installed layout's number.
package enum LayoutTable: String, CaseIterable, Hashable, Sendable {
    case sidecar = "sync.meta"
    /// For Auth, whose role sees nothing else of the sidecar.
    case auth = "oversync_auth.layout"

    /// What reading it takes.
    var objects: [RequiredPrivileges.Object] {
        let table = RequiredPrivileges(table: rawValue, [.select]).object
        return [RequiredPrivileges(schema: table.schema).object, table]
    }
}

/// What one look at the database has shown.
struct DatabaseReading: Hashable, Sendable {
    /// The role that the service is.
    var role: String
    var isStandby = false
    var isReadOnly = false
    /// The layout's version; nil if it was not read.
    var layout: Int?
    /// What is missing of the privileges that were asked for.
    var missing: [Missing] = []

    /// Privileges on one object that the role does not have.
    struct Missing: Hashable, Sendable {
        var what: RequiredPrivileges
        /// There is no such object.
        var isAbsent: Bool
    }
}

/// What a reading means for a service. A value without a connection.
struct DatabaseJudgement {
    let needs: DatabaseNeeds
    /// Of each business table that the service is to write.
    let business: [[RequiredPrivileges]]

    /// Problems that are blocking, and those that are not.
    func problems(_ reading: DatabaseReading) -> (blocking: [String], degrading: [String]) {
        var blocking: [String] = []
        if needs.writes, reading.isStandby {
            blocking.append(
                "is a standby, which takes no writes: connect to the primary server")
        } else if needs.writes, reading.isReadOnly {
            blocking.append(
                "default_transaction_read_only is on for the role \(reading.role): "
                    + "nothing can be written until it is off")
        }
        let missing = Dictionary(
            reading.missing.map { ($0.what.object, $0) }, uniquingKeysWith: Self.merged)
        let sidecar = needs.privileges.compactMap { Self.lacking($0, of: missing) }
        if sidecar.contains(where: \.isAbsent) {
            blocking.append(
                "lacks \(Self.names(sidecar.filter(\.isAbsent))): "
                    + "run oversync migrate, or connect to the right database")
        }
        blocking += sidecar.filter { !$0.isAbsent }.map { "\(Self.lack($0, reading.role))" }
        if let problem = reading.layout.flatMap(layoutProblem) { blocking.append(problem) }
        return (blocking, degrading(missing, reading.role))
    }

    private func degrading(
        _ missing: [RequiredPrivileges.Object: DatabaseReading.Missing], _ role: String
    ) -> [String] {
        business.compactMap { needed in
            let lacking = needed.compactMap { Self.lacking($0, of: missing) }
            guard !lacking.isEmpty, let table = needed.last else { return nil }
            let name = "\(table.schema).\(table.name)"
            if missing[table.object]?.isAbsent == true {
                return "there is no table \(name): uploads to it are refused"
            }
            let texts = lacking.map { Self.lack($0, role) }.joined(separator: "; ")
            return "uploads to \(name) fail: \(texts)"
        }
    }

    /// What is missing of one need. Other needs may name the same object, with more rights or
    /// fewer.
    private static func lacking(
        _ needed: RequiredPrivileges,
        of missing: [RequiredPrivileges.Object: DatabaseReading.Missing]
    ) -> DatabaseReading.Missing? {
        guard let found = missing[needed.object] else { return nil }
        var what = needed
        if !found.isAbsent {
            what.privileges.removeAll { !found.what.privileges.contains($0) }
        }
        guard !what.privileges.isEmpty else { return nil }
        return DatabaseReading.Missing(what: what, isAbsent: found.isAbsent)
    }

    private static func merged(
        _ one: DatabaseReading.Missing, _ other: DatabaseReading.Missing
    ) -> DatabaseReading.Missing {
        var both = one
        both.what.privileges += other.what.privileges
        return both
    }

    /// Code at layout N works with databases at N and N + 1: migrations only add, and what they replace stays for one
    /// release.
    private func layoutProblem(_ installed: Int) -> String? {
        if installed < needs.layout {
            return
                "has layout \(installed), this program needs \(needs.layout): run oversync migrate"
        }
        if installed > needs.layout + 1 {
            return
                "has layout \(installed), and this program knows none after \(needs.layout + 1): "
                + "this program is too old, run a newer one"
        }
        return nil
    }

    private static func lack(_ missing: DatabaseReading.Missing, _ role: String) -> String {
        if missing.isAbsent { return "there is no \(missing.what.object)" }
        return "the role \(role) lacks \(missing.what): grant it, or run oversync migrate"
    }

    private static func names(_ missing: [DatabaseReading.Missing]) -> String {
        missing.map { $0.what.object.description }.joined(separator: ", ")
    }
}
