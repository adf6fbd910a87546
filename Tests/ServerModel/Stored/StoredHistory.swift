import SeededRandom

/// A history on the tables of ``StoredModel``: ann's devices are existing clients, bob's laptop
/// sends chains and parts of rows, and plain SQL writes at the same time.
package struct StoredHistory {
    package enum Step: Sendable {
        case upload(StoredModel.Upload)
        case write(StoredModel.Write)
        /// A device downloads what others have written, and what it gets back of its own.
        case page(StoredModel.User, StoredModel.Device, after: Int)
    }

    package let steps: [Step]
    /// Why a client does not end with the server's rows; none if both do.
    package let flaws: [String]
    package let model: StoredModel

    package init(seed: UInt64, steps count: Int) {
        var maker = StoredHistoryMaker(seed: seed)
        while maker.steps.count < count { maker.step() }
        maker.finish()
        steps = maker.steps
        flaws = maker.flaws().map { "seed \(seed): \($0)" }
        model = maker.model
    }
}

extension StoredHistory.Step: ShrinkableStep {
    package var atoms: [Self] {
        guard case .upload(let upload) = self else { return [self] }
        return upload.changes.map { .upload(upload.with([$0])) }
    }

    package func joined(with other: Self) -> Self? {
        guard case .upload(let a) = self, case .upload(let b) = other else { return nil }
        return .upload(a.with(a.changes + b.changes))
    }
}

/// Makes one step after the other, with the model at hand.
struct StoredHistoryMaker {
    private static let rowsOfTable = 6
    private static let places = 9
    private static let uploadLimit = 8
    /// Rounds of uploads and pages after which clients must be at rest.
    private static let lastRounds = 8

    private typealias Model = StoredModel

    private(set) var steps: [StoredHistory.Step] = []
    private(set) var model = StoredModel()
    private var generator: SeededGenerator
    private var clients = [StoredModel.Device.phone, .tablet].map {
        WholeRowClient(user: .ann, device: $0)
    }
    /// What bob's laptop sent, for repeats.
    private var sent: [StoredModel.Upload] = []
    private var nextID = 0
    private var nextPlace = 100

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func step() {
        switch number(0...9) {
        case 0, 1: write()
        case 2, 3, 4: raw()
        default: live(number(0...1))
        }
    }

    // MARK: Existing clients

    /// A moment of a client's: edits, an upload whose answer may be lost, edits, a page.
    private mutating func live(_ index: Int) {
        for _ in 0..<number(0...4) { edit(index) }
        if chance(3) { swap(index) }
        exchange(index, losesAnswer: chance(5)) { maker, sent in
            if maker.chance(2) { maker.edit(index, one: maker.pick(sent)) }
        }
    }

    private mutating func exchange(
        _ index: Int, losesAnswer: Bool = false,
        between: (inout Self, [StoredModel.RowName]) -> Void = { _, _ in }
    ) {
        let changes = clients[index].send(limit: Self.uploadLimit)
        if !changes.isEmpty {
            let upload = Model.Upload(
                user: clients[index].user, device: clients[index].device, changes: changes)
            // It is sent some other time, when others have edited.
            guard model.isDecidable(upload) else { return }
            let answers = send(upload)
            if losesAnswer { return }
            clients[index].take(answers, to: changes)
            between(&self, changes.map(\.row))
        }
        if chance(4) { return }
        download(index)
    }

    private mutating func download(_ index: Int) {
        let client = clients[index]
        steps.append(.page(client.user, client.device, after: client.cursor))
        clients[index].take(
            model.page(client.user, client.device, after: client.cursor),
            next: model.log(of: client.user).count)
    }

    /// - Parameter one: the row to edit; nil chooses, often one that waits.
    private mutating func edit(_ index: Int, one: StoredModel.RowName? = nil) {
        let waiting = clients[index].pendingRows
        let chosen = one ?? (chance(3) && !waiting.isEmpty ? pick(waiting) : nil)
        let row = chosen ?? row(of: .ann)
        let isThere = clients[index].rows[row] != nil
        if isThere, chance(4) {
            let place = clients[index].rows[row]?[.place]
            clients[index].delete(row)
            let heir = Model.RowName(row.table, number(1...Self.rowsOfTable))
            if chance(2), heir != row, let place { write(index, heir, [.place: place]) }
            return
        }
        var values = values(row.table, all: !isThere)
        if values[.place] != nil, !chance(6) {
            values[.place] = freePlace(row.table, clients[index].rows)
        }
        write(index, row, values)
    }

    /// What an app writes to a new row leaves to the server what the server makes.
    private mutating func write(
        _ index: Int, _ row: StoredModel.RowName, _ values: StoredModel.Values
    ) {
        var values = values
        if clients[index].rows[row] == nil {
            values[.made] = nil
            values[.note] = nil
        }
        clients[index].write(row, values)
    }

    /// Two rows, or three, hand their places around.
    private mutating func swap(_ index: Int) {
        let table = pick(Model.Table.allCases)
        let rows = clients[index].rows.keys.filter { $0.table == table }.sorted()
        guard rows.count > 2 else { return }
        let start = number(0...rows.count - 1)
        let ring = (0..<number(2...3)).map { rows[(start + $0) % rows.count] }
        let places = ring.map { clients[index].rows[$0]?[.place] }
        for (row, place) in zip(ring, places.dropFirst() + places.prefix(1)) {
            clients[index].write(row, [.place: place ?? "1"])
        }
    }

    // MARK: A device that sends parts of rows, chains, repeats

    private mutating func raw() {
        if chance(5), !sent.isEmpty {
            let old = pick(sent.suffix(6))
            if model.isDecidable(old) { _ = send(old) }
            return
        }
        var changes: [Model.Change] = []
        var bases: [Model.RowName: Int] = [:]
        var places: [Model.RowName: String] = [:]
        for _ in 0..<number(1...8) {
            let row = changes.isEmpty || !chance(3) ? row(of: .bob) : pick(changes).row
            nextID += 1
            let base = bases[row] ?? model.newest(.bob, row)?.version ?? 0
            bases[row] = base + 1
            if chance(5), base > 0 {
                changes.append(
                    Model.Change(id: nextID, kind: .delete, row: row, base: base, payload: nil))
                continue
            }
            var payload = values(row.table, all: false)
            payload[.place] = places[row] ?? place(of: row, but: places)
            places[row] = payload[.place]
            changes.append(
                Model.Change(
                    id: nextID, kind: base == 0 ? .insert : .update, row: row,
                    base: chance(12) ? number(0...3) : base, payload: payload,
                    hasUnknown: chance(8)))
        }
        let exchanged = chance(2) ? exchange(&bases) : []
        changes += exchanged
        let upload = Model.Upload(
            user: .bob, device: .laptop, isAtomic: chance(exchanged.isEmpty ? 8 : 2),
            changes: changes)
        guard model.isDecidable(upload) else { return }
        sent.append(upload)
        _ = send(upload)
    }

    /// Two rows of bob's, which the changes before leave alone, exchange their places.
    private mutating func exchange(
        _ bases: inout [StoredModel.RowName: Int]
    ) -> [StoredModel.Change] {
        let table = pick(Model.Table.allCases)
        let rows = model.rows.keys.filter {
            $0.table == table && bases[$0] == nil && model.rows[$0]?.owner == .bob
        }.sorted()
        guard rows.count > 1 else { return [] }
        let a = pick(rows)
        let b = pick(rows.filter { $0 != a })
        return [(a, b), (b, a)].map { row, other in
            nextID += 1
            let base = model.newest(.bob, row)?.version ?? 0
            bases[row] = base + 1
            var payload = values(table, all: false)
            payload[.place] = model.rows[other]?.values[.place]
            return Model.Change(id: nextID, kind: .update, row: row, base: base, payload: payload)
        }
    }

    private mutating func send(_ upload: StoredModel.Upload) -> [StoredModel.Answer] {
        steps.append(.upload(upload))
        return model.upload(upload)
    }

    // MARK: Plain SQL

    private mutating func write() {
        let owner = pick(Model.User.allCases)
        let name = row(of: owner)
        let row = model.rows[name]
        let write: Model.Write
        if let row, chance(3) {
            let others = model.rows.filter {
                $0.key.table == name.table && $0.key != name && $0.value.owner == row.owner
            }.keys.sorted()
            guard !others.isEmpty else { return }
            write = .swap(name, pick(others))
        } else if row != nil {
            write = chance(4) ? .delete(name) : .update(name, values(name.table, all: false))
        } else {
            write = .insert(owner: owner, name, values(name.table, all: true))
        }
        if case .update(_, let values) = write, values.isEmpty { return }
        guard model.allows(write) else { return }
        model.write(write)
        steps.append(.write(write))
    }

    // MARK: The end

    /// Everything is sent; the app corrects what the server refuses.
    mutating func finish() {
        for round in 0..<Self.lastRounds {
            for index in clients.indices {
                if round > 1 {
                    for row in clients[index].pendingUpserts {
                        nextPlace += 1
                        clients[index].write(row, [.place: "\(nextPlace)"])
                    }
                }
                exchange(index)
                download(index)
            }
        }
    }

    func flaws() -> [String] {
        clients.flatMap { client -> [String] in
            if let row = client.pendingRows.first { return ["\(client.device) waits with \(row)"] }
            let own = model.rows.filter { $0.value.owner == client.user }
            return Set(own.keys).union(client.rows.keys).sorted().compactMap { name in
                let stored = own[name]?.values
                let shown = client.rows[name].map { row in
                    row.reduce(into: StoredModel.Values()) {
                        $0[$1.key] = $1.key.store($1.value).stored
                    }
                }
                return stored == shown
                    ? nil : "\(client.device) shows \(shown ?? [:]) for \(stored ?? [:]) in \(name)"
            }
        }
    }

    // MARK: Values

    private mutating func values(
        _ table: StoredModel.Table, all: Bool
    ) -> StoredModel.Values {
        var values: StoredModel.Values = [:]
        if all || chance(3) { values[.place] = place(table) }
        if all || chance(3) { values[.word] = word() }
        for column in [Model.Column.price, .rate, .at, .code, .made] {
            if chance(all ? 2 : 4), let samples = Model.Column.samples[column] {
                values[column] = pick(samples).sent
            }
        }
        if chance(6) { values[.note] = chance(2) ? Model.Column.null : #""n\#(number(1...9))""# }
        return values
    }

    private mutating func word() -> String {
        chance(15) ? Model.Column.badWord : #""w\#(number(1...99))""#
    }

    private mutating func place(_ table: StoredModel.Table) -> String {
        table == .slots && chance(3)
            ? "\(Model.Table.firstFreePlace + number(0...3))" : "\(number(1...Self.places))"
    }

    /// A place that a client sees nobody in.
    private mutating func freePlace(
        _ table: StoredModel.Table, _ rows: [StoredModel.RowName: StoredModel.Values]
    ) -> String {
        let taken = Set(rows.filter { $0.key.table == table }.compactMap { $0.value[.place] })
        let free = (1...Self.places).map(String.init).filter { !taken.contains($0) }
        return free.isEmpty ? place(table) : pick(free)
    }

    /// Mostly one that the upload gives to no other row.
    private mutating func place(
        of row: StoredModel.RowName, but places: [StoredModel.RowName: String]
    ) -> String {
        let others = Set(places.filter { $0.key.table == row.table }.values)
        let choice = place(row.table)
        return others.contains(choice) && !chance(3) ? "\(number(20...40))" : choice
    }

    /// No key is both users'.
    private mutating func row(of user: StoredModel.User) -> StoredModel.RowName {
        Model.RowName(
            pick(Model.Table.allCases),
            user.rawValue * 10 + number(1...Self.rowsOfTable))
    }

    private mutating func chance(_ of: Int) -> Bool { number(0...of - 1) == 0 }

    private mutating func pick<T>(_ from: [T]) -> T { from[number(0...from.count - 1)] }

    private mutating func pick<T>(_ from: ArraySlice<T>) -> T { pick(Array(from)) }

    private mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &generator)
    }
}
