import Model

/// Orders tables so that a parent stands before its children.
enum TableOrder {
    /// Parents first, by name among equals. Tables of a cycle stand together by name, after everything
    /// they depend on from outside of it; rows of such tables are ordered one by one (`UploadPlan`).
    static func parentsFirst(_ tables: [RegisteredTable]) -> [RegisteredTable] {
        var waiting = tables.sorted {
            ($0.name.schema, $0.name.table) < ($1.name.schema, $1.name.table)
        }
        let registered = Set(waiting.map(\.name))
        var placed: Set<TableName> = []
        var ordered: [RegisteredTable] = []
        while !waiting.isEmpty {
            let ready = waiting.firstIndex { table in
                parents(of: table, among: registered).isSubset(of: placed)
            }
            // No table is free: the first table that is part of a cycle, and does not merely depend
            // on one, goes next.
            let next = ready ?? firstInCycle(waiting, placed: placed, registered: registered)
            let table = waiting.remove(at: next)
            placed.insert(table.name)
            ordered.append(table)
        }
        return ordered
    }

    private static func parents(of table: RegisteredTable, among registered: Set<TableName>) -> Set<
        TableName
    > {
        Set(table.foreignKeys.map(\.parent)).intersection(registered).subtracting([table.name])
    }

    private static func firstInCycle(
        _ waiting: [RegisteredTable], placed: Set<TableName>, registered: Set<TableName>
    ) -> Int {
        let open = Dictionary(
            uniqueKeysWithValues: waiting.map { table in
                (table.name, parents(of: table, among: registered).subtracting(placed))
            })
        func reaches(_ start: TableName) -> Bool {
            var seen: Set<TableName> = []
            var next = Array(open[start] ?? [])
            while let name = next.popLast() {
                if name == start { return true }
                if seen.insert(name).inserted { next += open[name] ?? [] }
            }
            return false
        }
        // Of the cycles, one that waits for no other cycle.
        let candidates = waiting.indices.filter { reaches(waiting[$0].name) }
        return candidates.min { a, b in
            let left = ancestors(of: waiting[a].name, in: open).count
            let right = ancestors(of: waiting[b].name, in: open).count
            return (left, a) < (right, b)
        } ?? 0
    }

    private static func ancestors(
        of name: TableName, in open: [TableName: Set<TableName>]
    ) -> Set<TableName> {
        var seen: Set<TableName> = []
        var next = Array(open[name] ?? [])
        while let parent = next.popLast() {
            if seen.insert(parent).inserted { next += open[parent] ?? [] }
        }
        return seen
    }
}
