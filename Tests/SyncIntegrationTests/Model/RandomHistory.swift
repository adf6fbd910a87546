import TestSupport

/// A history of uploads and plain SQL, made from a seed.
///
/// Made with the model at hand, so that most of it is what devices do: edits of the version they know, some of a
/// stale one; repeats after lost answers; edits under a used id; children with and without their parents.
struct RandomHistory {
    enum Step {
        case upload(ModelServer.Upload)
        case write(ModelServer.Write)

        /// An upload of several changes as uploads of one.
        var atoms: [Step] {
            guard case .upload(let upload) = self else { return [self] }
            return upload.changes.map { .upload(upload.with([$0])) }
        }

        func joined(with other: Step) -> Step? {
            guard case .upload(let a) = self, case .upload(let b) = other else { return nil }
            return .upload(a.with(a.changes + b.changes))
        }
    }

    static let users = ["ann", "bob"]
    private static let devices = ["phone", "tablet"]
    private static let keysPerTable = 7

    let steps: [Step]

    init(seed: UInt64, steps count: Int) {
        var maker = Maker(generator: SeededGenerator(seed: seed))
        steps = (0..<count).map { _ in maker.step() }
    }

    private struct Maker {
        var generator: SeededGenerator
        var model = ModelServer()
        var nextID = 0
        var sent: [String: [ModelServer.Change]] = [:]

        mutating func step() -> Step {
            if chance(6), let write = write() {
                model.write(write)
                return .write(write)
            }
            let user = pick(RandomHistory.users)
            let device = pick(RandomHistory.devices)
            let count =
                chance(2)
                ? Int.random(in: 1...3, using: &generator)
                : Int.random(in: 4...40, using: &generator)
            // The versions that the device will know while it writes this batch.
            var versions: [String: Int] = [:]
            let changes = (0..<count).map { _ in change(user, device, &versions) }
            sent[user + device, default: []] += changes
            let upload = ModelServer.Upload(
                user: user, device: device, isAtomic: chance(10), changes: changes)
            _ = model.upload(upload)
            return .upload(upload)
        }

        private mutating func change(
            _ user: String, _ device: String, _ versions: inout [String: Int]
        ) -> ModelServer.Change {
            let earlier = sent[user + device] ?? []
            if chance(8), !earlier.isEmpty {
                let old = pick(earlier)
                if chance(2) { return old }
                return make(old.id, user, old.table, old.key, base: old.base)
            }
            nextID += 1
            let table = chance(2) ? "notes" : "items"
            let key = key(table)
            let known = versions[table + key] ?? model.version(user, table, key)
            let base = chance(6) ? Int.random(in: 0...4, using: &generator) : known
            versions[table + key] = base + 1
            return make(nextID, user, table, key, base: base)
        }

        private mutating func make(
            _ id: Int, _ user: String, _ table: String, _ key: String, base: Int
        ) -> ModelServer.Change {
            let isDelete = chance(4)
            return ModelServer.Change(
                id: id, kind: isDelete ? .delete : base == 0 ? .insert : .update, table: table,
                key: key,
                base: base, payload: isDelete ? nil : payload(table))
        }

        private mutating func payload(_ table: String) -> [ModelServer.Field] {
            var fields: [ModelServer.Field] = []
            if table == "notes" {
                if !chance(8) { fields.append(.init(name: "title", value: title())) }
            } else {
                if !chance(4) {
                    fields.append(
                        .init(name: "note_id", value: chance(5) ? "null" : "\"\(key("notes"))\""))
                }
                if !chance(4) {
                    fields.append(
                        .init(name: "n", value: "\(Int.random(in: 0...9, using: &generator))"))
                }
            }
            if chance(10) { fields.append(.init(name: "unknown", value: "[1.50]")) }
            return fields
        }

        private mutating func title() -> String {
            chance(15) ? "\"bad\"" : "\"t\(Int.random(in: 0...99, using: &generator))\""
        }

        /// Nil where the row at hand does not allow it.
        private mutating func write() -> ModelServer.Write? {
            let key = key("notes")
            guard model.holds("notes", key) else {
                return .insert(
                    owner: pick(RandomHistory.users), table: "notes", key: key,
                    [
                        .init(
                            name: "title",
                            value: "\"sql\(Int.random(in: 0...9, using: &generator))\"")
                    ])
            }
            if chance(3), !model.isReferenced(key) { return .delete(table: "notes", key: key) }
            return .update(
                table: "notes", key: key,
                .init(name: "title", value: "\"sql\(Int.random(in: 0...3, using: &generator))\""))
        }

        /// Both users draw from the same keys: they collide.
        private mutating func key(_ table: String) -> String {
            id(
                "\(table == "notes" ? "a" : "b")\(Int.random(in: 1...RandomHistory.keysPerTable, using: &generator))"
            )
        }

        private mutating func chance(_ of: Int) -> Bool {
            Int.random(in: 0..<of, using: &generator) == 0
        }
        private mutating func pick<T>(_ from: [T]) -> T {
            from[Int.random(in: 0..<from.count, using: &generator)]
        }
    }
}
