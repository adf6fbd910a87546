import Foundation
import Testing

/// The real services on a real PostgreSQL against the model, step by step (promises P2 to P6).
@Suite("Model checking")
struct ModelTests {
    /// Seeds tried by `make test`; `OVERSYNC_MODEL_SEEDS` asks for others.
    private static let usualSeeds = 40
    private static let stepsPerSeed = 260
    /// Runs spent on making a failing history short.
    private static let shrinkingRuns = 400

    static let seeds: [UInt64] = {
        if let one = ProcessInfo.processInfo.environment["OVERSYNC_MODEL_SEED"].flatMap({
            UInt64($0)
        }) {
            return [one]
        }
        let count =
            ProcessInfo.processInfo.environment["OVERSYNC_MODEL_SEEDS"].flatMap { Int($0) }
            ?? usualSeeds
        return (1...UInt64(max(1, count))).map { $0 }
    }()

    @Test(
        "Every history of uploads and plain SQL gives the answers and the feed of the model",
        arguments: seeds)
    func history(seed: UInt64) async throws {
        let history = RandomHistory(seed: seed, steps: Self.stepsPerSeed).steps
        guard let difference = try await Self.firstDifference(history) else { return }
        let short = try await Self.shrink(Array(history.prefix(difference.step + 1)))
        let last = try await Self.firstDifference(short)
        Issue.record(
            "seed \(seed): \(last?.text ?? difference.text)\n\(short.map(Self.describe).joined(separator: "\n"))"
        )
    }

    private struct Difference {
        let step: Int
        let text: String
    }

    private static let tables = """
        CREATE SCHEMA m;
        CREATE TABLE m.notes (id uuid PRIMARY KEY, owner text, title text CHECK (title <> 'bad'));
        CREATE TABLE m.items (id uuid PRIMARY KEY, owner text,
            note_id uuid REFERENCES m.notes DEFERRABLE INITIALLY DEFERRED, n int);
        """
    private static let yaml = """
          - {table: m.notes, owner: owner}
          - {table: m.items, owner: owner}
        """

    private static func firstDifference(_ history: [RandomHistory.Step]) async throws -> Difference?
    {
        var found: Difference?
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            var model = ModelServer()
            for (number, step) in history.enumerated() {
                switch step {
                case .write(let write):
                    // A shortened history may have lost what the statement needs.
                    guard model.allows(write) else { continue }
                    model.write(write)
                    try await database.execute(sql(write))
                case .upload(let upload):
                    let wanted = model.upload(upload)
                    let answer = try await database.outcomes(
                        upload.user, device: upload.device, atomic: upload.isAtomic,
                        upload.changes.map(wire).joined(separator: ","))
                    if answer != wanted {
                        let index = answer.indices.first { answer[$0] != wanted[$0] } ?? 0
                        found = Difference(
                            step: number,
                            text:
                                "change \(upload.changes[index].id): \(answer[index]) instead of \(wanted[index])"
                        )
                        return
                    }
                }
                if number % 20 == 19 || number == history.count - 1 {
                    for user in RandomHistory.users {
                        if let text = try await difference(of: user, model, database) {
                            found = Difference(step: number, text: text)
                            return
                        }
                    }
                }
            }
            let flaws = try await database.verify().0
            if !flaws.isEmpty {
                found = Difference(step: history.count - 1, text: "verify: \(flaws)")
            }
        }
        return found
    }

    private static func difference(
        of user: String, _ model: ModelServer, _ database: SyncedDatabase
    ) async throws -> String? {
        let wanted = model.log(of: user)
        var read: [SyncedDatabase.Change] = []
        while let page = try? await database.download(user, after: read.count), !page.isEmpty {
            read += page
        }
        guard read.count == wanted.count else {
            return "\(user) reads \(read.count) changes instead of \(wanted.count)"
        }
        for (index, (change, entry)) in zip(read, wanted).enumerated() {
            let isSame =
                change.sequence == index + 1 && change.table == entry.table
                && change.key == entry.key
                && change.operation == entry.kind.rawValue && change.version == entry.version
                && change.source == entry.device
                && (change.payload == nil) == (entry.payload == nil)
            if !isSame { return "\(user) reads \(change) instead of \(entry)" }
        }
        return nil
    }

    /// Leaves out what is not needed for the failure, in ever smaller pieces: first whole steps, then changes.
    private static func shrink(
        _ history: [RandomHistory.Step]
    ) async throws -> [RandomHistory.Step] {
        var runs = 0
        let steps = try await shrink(history, &runs) { $0 }
        let changes = steps.enumerated().flatMap { number, step in
            step.atoms.map { (number, $0) }
        }
        return joined(try await shrink(changes, &runs, joined))
    }

    /// Puts the changes of one upload together again.
    private static func joined(_ atoms: [(Int, RandomHistory.Step)]) -> [RandomHistory.Step] {
        var steps: [(number: Int, step: RandomHistory.Step)] = []
        for atom in atoms { append(atom, to: &steps) }
        return steps.map(\.step)
    }

    private static func append(
        _ atom: (Int, RandomHistory.Step), to steps: inout [(number: Int, step: RandomHistory.Step)]
    ) {
        if let last = steps.last, last.number == atom.0, let both = last.step.joined(with: atom.1) {
            steps[steps.count - 1].step = both
        } else {
            steps.append((atom.0, atom.1))
        }
    }

    private static func shrink<Piece>(
        _ pieces: [Piece], _ runs: inout Int, _ history: ([Piece]) -> [RandomHistory.Step]
    ) async throws -> [Piece] {
        var short = pieces
        var size = max(1, short.count / 2)
        while runs < shrinkingRuns {
            var start = 0
            while start < short.count, runs < shrinkingRuns {
                var trial = short
                trial.removeSubrange(start..<min(start + size, short.count))
                runs += 1
                if !trial.isEmpty, try await firstDifference(history(trial)) != nil {
                    short = trial
                } else {
                    start += size
                }
            }
            if size == 1 { break }
            size /= 2
        }
        return short
    }

    private static func wire(_ change: ModelServer.Change) -> String {
        let tail = change.json.map { #","payload":\#($0)"# } ?? ""
        return
            #"{"source_change_id":\#(change.id),"schema":"m","table":"\#(change.table)","op":"\#(change.kind.rawValue)","pk":"\#(change.key)","server_version":\#(change.base)\#(tail)}"#
    }

    private static func sql(_ write: ModelServer.Write) -> String {
        func text(_ field: ModelServer.Field) -> String {
            "'" + field.value.dropFirst().dropLast() + "'"
        }
        return switch write {
        case .insert(let owner, let table, let key, let fields):
            "INSERT INTO m.\(table) (id, owner, \(fields.map(\.name).joined(separator: ", "))) VALUES ('\(key)', '\(owner)', \(fields.map(text).joined(separator: ", ")))"
        case .update(let table, let key, let field):
            "UPDATE m.\(table) SET \(field.name) = \(text(field)) WHERE id = '\(key)'"
        case .delete(let table, let key): "DELETE FROM m.\(table) WHERE id = '\(key)'"
        }
    }

    private static func describe(_ step: RandomHistory.Step) -> String {
        switch step {
        case .write(let write): sql(write)
        case .upload(let upload):
            "\(upload.user) on \(upload.device)\(upload.isAtomic ? ", atomic" : ""):\n  "
                + upload.changes.map(wire).joined(separator: "\n  ")
        }
    }
}
