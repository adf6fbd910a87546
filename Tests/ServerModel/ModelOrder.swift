/// The order in which a batch takes effect.
package enum ModelOrder {
    /// Upserts first: by table if parents and children are among them, else as they were sent; a note after the
    /// note of the batch that it points to. Then deletes, children first.
    package static func of(_ changes: [ModelServer.Change]) -> [Int] {
        let upserts = changes.indices.filter { changes[$0].kind != .delete }
        let deletes = changes.indices.filter { changes[$0].kind == .delete }
        let hasNotes = upserts.contains { changes[$0].place.table == .notes }
        var order: [Int] = []
        if hasNotes {
            placeNotes(changes, upserts.filter { changes[$0].place.table == .notes }, in: &order)
            order += inTables([.items, .pins])
        } else {
            order += upserts
        }
        func inTables(_ tables: [ModelServer.Table]) -> [Int] {
            tables.flatMap { table in upserts.filter { changes[$0].place.table == table } }
        }
        for table in [ModelServer.Table.pins, .items, .notes] {
            order += deletes.filter { changes[$0].place.table == table }
        }
        return order
    }

    /// The notes that the changes make, with the place of the first that does.
    package static func notesToCome(
        _ changes: [ModelServer.Change], _ order: [Int]
    ) -> [Int: Int] {
        var made: [Int: Int] = [:]
        for (position, index) in order.enumerated()
        where changes[index].place.table == .notes && changes[index].kind != .delete {
            made[changes[index].place.key] = made[changes[index].place.key] ?? position
        }
        return made
    }

    /// Each note as it was sent, but before it what it stands on: the earlier change of itself, then the first
    /// change that makes the note above it. What is under way already is not asked for again, as in a circle.
    private static func placeNotes(
        _ changes: [ModelServer.Change], _ notes: [Int], in order: inout [Int]
    ) {
        var entered: Set<Int> = []
        func enter(_ index: Int) {
            guard entered.insert(index).inserted else { return }
            let change = changes[index]
            if let earlier = notes.last(where: { $0 < index && changes[$0].place == change.place })
            {
                enter(earlier)
            }
            if case .note(let above)? = change.payload?.reference,
                let maker = notes.first(where: { changes[$0].place.key == above })
            {
                enter(maker)
            }
            order.append(index)
        }
        for index in notes { enter(index) }
    }
}
