import Model
import Postgres

/// Finds the columns of a table that keep it from being compared, one by one.
struct ColumnTrouble {
    let comparison: BusinessComparison

    /// - Parameter attempt: runs a query and answers what is wrong with it.
    /// - Returns: the comparison that works, and a line for each column that it leaves out.
    func look(
        _ attempt: (Statement) async throws -> String?
    ) async throws -> (BusinessComparison, [Difference]) {
        var rest = comparison
        var problems: [Difference] = []
        for column in comparison.compared {
            func trouble(_ treatment: BusinessComparison.Treatment?) async throws -> String? {
                let sql = comparison.query(of: column, as: treatment)
                return try await attempt(
                    Statement(name: statementName("verify_column", for: sql), sql: sql))
            }
            guard try await trouble(nil) != nil else { continue }
            guard let message = try await trouble(.text) else {
                rest.treatments[column.name] = .text
                continue
            }
            rest.treatments[column.name] = .leftOut
            problems.append(
                Difference(
                    kind: .notCompared, user: "", table: comparison.table.name, key: nil,
                    detail: "column=\(column.name) \(message)", sequence: 0))
        }
        return (rest, problems)
    }
}
