import SeededRandom

/// Makes one batch of a device, or one statement of plain SQL.
struct BatchMaker {
    /// Rows of each table that a user alone writes to, and rows that both do.
    private static let ownKeys = 5
    private static let sharedKeys = 3
    private static let shortBatch = 1...3
    private static let longBatch = 4...40

    var generator: SeededGenerator
    private var nextID = 0
    /// Whether the batch at hand keeps clear of what only PostgreSQL refuses.
    private var isCalm = false

    init(generator: SeededGenerator) { self.generator = generator }

    /// - Parameters:
    ///   - known: the versions that the device has in mind; it counts on this batch from here on.
    ///   - sent: what it sent before.
    mutating func upload(
        _ user: ModelServer.User, _ device: ModelServer.Device, _ model: ModelServer,
        known: inout [ModelServer.Place: Int], sent: [ModelServer.Change]
    ) -> ModelServer.Upload {
        isCalm = chance(2)
        let count = number(chance(2) ? Self.shortBatch : Self.longBatch)
        var changes: [ModelServer.Change] = []
        changes.reserveCapacity(count)
        for _ in 0..<count {
            if chance(20), !changes.isEmpty {
                changes.append(pick(changes))
            } else if chance(15), let old = old(sent) {
                changes.append(repeated(old, user))
            } else {
                changes.append(edit(user, &known))
            }
        }
        return ModelServer.Upload(
            user: user, device: device, isAtomic: chance(10), changes: changes)
    }

    private mutating func old(_ sent: [ModelServer.Change]) -> ModelServer.Change? {
        guard !sent.isEmpty else { return nil }
        let old = pick(sent)
        let isCalm =
            old.payload?.title != ModelServer.Payload.badTitle && old.place.key > Self.sharedKeys
        return self.isCalm == isCalm ? old : nil
    }

    /// The same again, or other content under its id.
    private mutating func repeated(
        _ old: ModelServer.Change, _ user: ModelServer.User
    ) -> ModelServer.Change {
        if chance(2) { return old }
        return make(old.id, user, old.place, base: old.base)
    }

    private mutating func edit(
        _ user: ModelServer.User, _ known: inout [ModelServer.Place: Int]
    ) -> ModelServer.Change {
        nextID += 1
        let place = ModelServer.Place(table(), key(user))
        let base = chance(20) ? number(0...4) : known[place] ?? 0
        known[place] = base + 1
        return make(nextID, user, place, base: base)
    }

    private mutating func make(
        _ id: Int, _ user: ModelServer.User, _ place: ModelServer.Place, base: Int
    ) -> ModelServer.Change {
        let isDelete = chance(4)
        return ModelServer.Change(
            id: id, kind: isDelete ? .delete : base == 0 ? .insert : .update, place: place,
            base: base, payload: isDelete ? nil : payload(user, place))
    }

    private mutating func payload(
        _ user: ModelServer.User, _ place: ModelServer.Place
    ) -> ModelServer.Payload {
        var payload = ModelServer.Payload()
        if place.table == .notes {
            if !chance(8) {
                payload.title =
                    !isCalm && chance(12) ? ModelServer.Payload.badTitle : number(0...99)
            }
            if chance(5) {
                let reference = reference(user)
                // A circle with a row that PostgreSQL refuses is refused as a whole: that has tests of its own.
                if case .note(let above) = reference, !isCalm, above >= place.key {
                    payload.reference = .nowhere
                } else {
                    payload.reference = reference
                }
            }
        } else {
            if !chance(4) { payload.reference = reference(user) }
            if !chance(4) { payload.number = number(0...9) }
        }
        payload.hasUnknown = chance(10)
        return payload
    }

    private mutating func reference(_ user: ModelServer.User) -> ModelServer.Reference {
        chance(6) ? .nowhere : .note(key(user))
    }

    /// Nil where the rows at hand do not allow it.
    mutating func write(_ model: ModelServer) -> ModelServer.Write? {
        let user = pick(ModelServer.User.allCases)
        let place = ModelServer.Place(table(), key(user))
        let row = model.rows[place]
        if row != nil, chance(3) { return allowed(.delete(place), model) }
        var payload = ModelServer.Payload()
        if place.table == .notes { payload.title = number(0...3) }
        if place.table != .notes { payload.number = number(0...3) }
        if chance(2) {
            let note = key(user)
            let isOwn = model.rows[ModelServer.Place(.notes, note)]?.owner == (row?.owner ?? user)
            payload.reference = isOwn ? .note(note) : .nowhere
        }
        return allowed(
            row == nil ? .insert(owner: user, place, payload) : .update(place, payload), model)
    }

    private func allowed(_ write: ModelServer.Write, _ model: ModelServer) -> ModelServer.Write? {
        model.allows(write) ? write : nil
    }

    private mutating func table() -> ModelServer.Table {
        chance(2) ? .notes : chance(3) ? .pins : .items
    }

    /// Users collide on the shared keys.
    private mutating func key(_ user: ModelServer.User) -> Int {
        if !isCalm, chance(6) { return number(1...Self.sharedKeys) }
        return Self.sharedKeys + user.rawValue * Self.ownKeys + number(1...Self.ownKeys)
    }

    mutating func chance(_ of: Int) -> Bool { number(0...of - 1) == 0 }

    mutating func pick<T>(_ from: [T]) -> T { from[number(0...from.count - 1)] }

    /// Of small ranges, without the generality of `Int.random`.
    private mutating func number(_ range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound + 1)
        return range.lowerBound + Int(((generator.next() >> 32) &* count) >> 32)
    }
}
