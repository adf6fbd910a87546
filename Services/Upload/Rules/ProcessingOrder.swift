import Model

/// The order in which a batch takes effect, which is the order of its sequences.
///
/// Upserts come first, deletes after them. Upserts stand parents-first when related tables share
/// the batch, else as they were sent; deletes stand children-first. Equals keep the order of the
/// request.
package enum ProcessingOrder {
    package static func of(_ changes: [Change], in schema: UploadSchema) -> [Change] {
        var upserts = changes.filter { $0.operation != .delete }
        if schema.areRelated(Set(upserts.map(\.table))) {
            upserts.sortStably { $0.table < $1.table }
        }
        var deletes = changes.filter { $0.operation == .delete }
        deletes.sortStably { $0.table > $1.table }
        return parentsBeforeChildren(upserts) + deletes
    }

    /// Orders what the order of tables leaves open: rows of a table that refers to itself, or of
    /// tables in a cycle. Puts a row after the rows of the batch that it points to, and never before
    /// an earlier change of the same row.
    private static func parentsBeforeChildren(_ upserts: [Change]) -> [Change] {
        var providers: [ParentReference: Int] = [:]
        for (index, change) in upserts.enumerated() {
            for reference in change.provides where providers[reference] == nil {
                providers[reference] = index
            }
        }
        let isInOrder = upserts.indices.allSatisfy { index in
            upserts[index].needs.allSatisfy { (providers[$0] ?? index) <= index }
        }
        if isInOrder { return upserts }

        let predecessors = predecessorsOnSameRow(upserts)
        var ordered: [Change] = []
        ordered.reserveCapacity(upserts.count)
        var isEntered = [Bool](repeating: false, count: upserts.count)
        for start in upserts.indices where !isEntered[start] {
            // Depth first, with a stack in memory: a batch may be one chain of a thousand rows. A row
            // that is entered and not placed yet is an ancestor; entering it again would be a cycle.
            var stack = [(index: start, next: -1)]
            isEntered[start] = true
            while let (index, next) = stack.last {
                let needs = upserts[index].needs
                guard next < needs.count else {
                    ordered.append(upserts[index])
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let before = next < 0 ? predecessors[index] : providers[needs[next]]
                if let before, !isEntered[before] {
                    isEntered[before] = true
                    stack.append((before, -1))
                }
            }
        }
        return ordered
    }

    private static func predecessorsOnSameRow(_ changes: [Change]) -> [Int?] {
        var last: [RowID: Int] = [:]
        return changes.indices.map { index in
            defer { last[changes[index].row] = index }
            return last[changes[index].row]
        }
    }
}

extension Array {
    /// Sorts so that equals keep their order.
    fileprivate mutating func sortStably(by precedes: (Element, Element) -> Bool) {
        let sorted = enumerated().sorted { a, b in
            precedes(a.element, b.element)
                || (!precedes(b.element, a.element) && a.offset < b.offset)
        }
        self = sorted.map(\.element)
    }
}
