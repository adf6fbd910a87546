/// The SQL of a conversion, made from what the database has. A value: a run executes it, a plan
/// shows it.
struct PartitionPlan: Hashable {
    struct Step: Hashable {
        let purpose: String
        let sql: String
    }

    /// The rows of a former table on their way into the new one.
    struct Copy: Hashable {
        let table: String
        /// The former table or partition, by its name of that time.
        let from: String
        let pages: Int64

        /// Rows of all pages, or of some.
        func sql(pages range: Range<Int64>? = nil) -> String {
            let condition = range.map {
                " WHERE ctid >= '(\($0.lowerBound),0)' AND ctid < '(\($0.upperBound),0)'"
            }
            return "INSERT INTO sync.\(table) SELECT * FROM sync.\(quoted(from))\(condition ?? "")"
        }
    }

    /// What a former table and its partitions are called while the new one is filled.
    static let formerSuffix = "_former"

    let count: Int
    private let leaves: [PartitionLeaf]
    private let remakings: [PartitionRemaking]

    init(count: Int, leaves: [PartitionLeaf], remakings: [PartitionRemaking]) {
        self.count = count
        self.leaves = leaves
        self.remakings = remakings
    }

    var rows: Int64 { leaves.filter { $0.table == "change_log" }.reduce(0) { $0 + $1.rows } }
    var bytes: Int64 { leaves.reduce(0) { $0 + $1.bytes } }

    /// The former tables step aside, and the new ones take their names, also in views.
    var beginning: [Step] {
        var steps: [Step] = []
        for table in PartitionStatements.tables {
            let former = leaves.filter { $0.table == table }
            var names = Set(former.map(\.name))
            names.insert(table)
            let renamings = names.sorted().map { name in
                "ALTER TABLE sync.\(quoted(name)) "
                    + "RENAME TO \(quoted(name + Self.formerSuffix));"
            }
            steps.append(
                Step(
                    purpose: "Puts the former \(table) aside",
                    sql: renamings.joined(separator: "\n")))
            steps.append(
                Step(
                    purpose: count == 1
                        ? "Makes \(table) as one table"
                        : "Makes \(table) with \(count) partitions, each for some users",
                    sql: creation(of: table, options: former.first?.options)))
        }
        // Here, so that every lock is taken in the first moments: a reader of a view has the view,
        // and waits for its tables.
        return steps
            + remakings.filter { !$0.isFinal }.map {
                Step(purpose: "Lets the view \($0.object) read the new tables", sql: $0.sql)
            }
    }

    private func creation(of table: String, options: String?) -> String {
        let parameters = options.map { " WITH (\($0))" } ?? ""
        let columns = """
            CREATE TABLE sync.\(table) (LIKE sync.\(quoted(table + Self.formerSuffix))
                INCLUDING ALL EXCLUDING INDEXES)
            """
        guard count > 1 else { return "\(columns)\(parameters)" }
        var lines = ["\(columns) PARTITION BY HASH (scope_id);"]
        for number in 0..<count {
            lines.append(
                "CREATE TABLE sync.\(table)_p\(number) PARTITION OF sync.\(table) "
                    + "FOR VALUES WITH (MODULUS \(count), REMAINDER \(number))\(parameters);")
        }
        return lines.joined(separator: "\n")
    }

    var copies: [Copy] {
        leaves.map {
            Copy(table: $0.table, from: $0.name + Self.formerSuffix, pages: $0.pages)
        }
    }

    /// Nothing was lost; the former tables go, and the new ones get their indexes and rights.
    var ending: [Step] {
        let checks = PartitionStatements.tables.map { table in
            Step(
                purpose: "Stops if a row of \(table) is missing",
                sql: """
                    DO $do$ BEGIN
                        IF (SELECT count(*) FROM sync.\(table))
                            <> (SELECT count(*) FROM sync.\(table)\(Self.formerSuffix)) THEN
                            RAISE EXCEPTION 'rows of sync.\(table) were not copied';
                        END IF;
                    END $do$
                    """)
        }
        let removals = PartitionStatements.tables.map {
            Step(
                purpose: "Removes the former \($0)",
                sql: "DROP TABLE sync.\($0)\(Self.formerSuffix)")
        }
        let rest = remakings.filter(\.isFinal).map { remaking in
            Step(
                purpose: remaking.place < 4
                    ? "Constraint or index \(remaking.object)"
                    : "A right on \(remaking.object), or its comment", sql: remaking.sql)
        }
        let statistics = Step(
            purpose: "Statistics",
            sql: PartitionStatements.tables.map { "ANALYZE sync.\($0);" }.joined(separator: "\n"))
        return checks + removals + rest + [statistics]
    }
}
