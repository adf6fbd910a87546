import Foundation
import ServerModel

@testable import UploadService

/// Takes steps on a real database and on the model, and says where they part.
struct ModelComparison {
    let database: SyncedDatabase
    let keys: ModelKeys
    private var model = ModelServer(roundsPins: true)
    /// Changes of each user read so far.
    private var cursors = Array(repeating: 0, count: ModelServer.User.allCases.count)
    /// The sequences that each atomic upload added to its user's log.
    private var atomic: [ModelServer.User: [ClosedRange<Int>]] = [:]

    init(database: SyncedDatabase, keys: ModelKeys = .uuids) {
        self.database = database
        self.keys = keys
    }

    /// - Returns: the first difference; nil if there is none.
    mutating func take(_ step: RandomHistory.Step) async throws -> String? {
        switch step {
        case .write(let write):
            // A shortened history may have lost what the statement needs.
            guard model.allows(write) else { return nil }
            model.write(write)
            try await database.execute(keys.sql(write.sql))
        case .upload(let upload):
            guard !model.deletesNotesTogether(upload) else { return nil }
            if let text = try await answers(upload) { return text }
        }
        for user in ModelServer.User.allCases {
            if let text = try await feed(of: user) { return text }
        }
        return nil
    }

    /// Takes uploads of one user, none of them atomic, as a group that shares a transaction.
    mutating func take(together uploads: [ModelServer.Upload]) async throws -> String? {
        var taken: [(upload: ModelServer.Upload, wanted: [String], last: Int)] = []
        for upload in uploads where !model.deletesNotesTogether(upload) {
            let wanted = model.upload(upload).map { keys.text($0.line) }
            taken.append((upload, wanted, model.log(of: upload.user).count))
        }
        guard let user = taken.first?.upload.user else { return nil }
        let outcomes = try await database.together(
            user.name,
            taken.map { .init(device: $0.upload.device.name, changes: keys.text($0.upload.json)) })
        for (outcome, (upload, wanted, last)) in zip(outcomes, taken) {
            let result = try outcome.get()
            let answer = result.outcomes.map(Self.line)
            if let index = wanted.indices.first(where: { answer[$0] != wanted[$0] }) {
                return "change \(upload.changes[index].id): \(answer[index]) instead of "
                    + wanted[index]
            }
            guard result.highestSequence == Int64(last) else {
                return "the last sequence is \(result.highestSequence) instead of \(last)"
            }
        }
        for user in ModelServer.User.allCases {
            if let text = try await feed(of: user) { return text }
        }
        return nil
    }

    private mutating func answers(_ upload: ModelServer.Upload) async throws -> String? {
        let before = model.log(of: upload.user).count
        let wanted = model.upload(upload).map { keys.text($0.line) }
        let result = try await database.upload(
            upload.user.name, device: upload.device.name, atomic: upload.isAtomic,
            keys.text(upload.json))
        let answer = result.outcomes.map(Self.line)
        if let index = wanted.indices.first(where: { answer[$0] != wanted[$0] }) {
            return "change \(upload.changes[index].id): \(answer[index]) instead of "
                + wanted[index]
        }
        let last = model.log(of: upload.user).count
        if upload.isAtomic, last > before {
            atomic[upload.user, default: []].append(before + 1...last)
        }
        guard result.highestSequence == Int64(last) else {
            return "the last sequence is \(result.highestSequence) instead of \(last)"
        }
        return nil
    }

    /// Rows of a page, few enough that many a page ends within an atomic upload.
    private static let pageRows = 20

    /// Reads each user's log in pages: every change comes once, and no page ends within an atomic
    /// upload.
    func differenceOfPages() async throws -> String? {
        for user in ModelServer.User.allCases {
            let end = model.log(of: user).count
            var after = 0
            while after < end {
                let page = try await database.page(
                    user.name, after: after, limit: Self.pageRows)
                guard page.next > after, page.keys.count == page.next - after else {
                    return "\(user.name) reads \(page.keys.count) changes after \(after) "
                        + "up to \(page.next)"
                }
                after = page.next
                let cut = atomic[user]?.first { $0.contains(after) && after < $0.upperBound }
                if let cut { return "a page of \(user.name) ends at \(after), within \(cut)" }
            }
        }
        return nil
    }

    /// Plain SQL has no change ids; the sidecar gives it the sequence.
    private static func line(_ outcome: ChangeVerdict) -> String {
        guard case .conflict(let row) = outcome, row.device.isEmpty else { return outcome.line }
        return outcome.line.replacing("by /\(row.changeID) ", with: "by server ")
    }

    /// Compares what was added to a user's log, as a device reads it.
    ///
    /// What one step's statements caused in addition to its own changes may stand anywhere among
    /// them: that is the order in which PostgreSQL fires triggers.
    private mutating func feed(of user: ModelServer.User) async throws -> String? {
        let cursor = cursors[user.rawValue]
        let wanted = model.log(of: user)[cursor...].map(line)
        // One more page than there should be: the log must end where the model's does.
        var read: [SyncedDatabase.Change] = []
        while read.count <= wanted.count {
            let page = try await database.download(user.name, after: cursor + read.count)
            if page.isEmpty { break }
            read += page
        }
        cursors[user.rawValue] += read.count
        guard read.map(\.sequence) == Array(cursor + 1..<cursor + 1 + wanted.count) else {
            return "\(user.name) reads \(read.map(\.sequence)) after \(cursor) instead of "
                + "\(wanted.count) changes"
        }
        let lines = read.map(Self.line)
        let isServer = { (line: String) in line.hasPrefix("server ") }
        let own = (lines.filter { !isServer($0) }, wanted.filter { !isServer($0) })
        let caused = (lines.filter(isServer).sorted(), wanted.filter(isServer).sorted())
        for (line, other) in zip(own.0 + caused.0, own.1 + caused.1) where line != other {
            return "\(user.name) reads \(line) instead of \(other)"
        }
        return nil
    }

    private static func line(_ change: SyncedDatabase.Change) -> String {
        line(
            change.source, change.operation, change.table, change.key, change.version,
            change.payload)
    }

    private func line(_ entry: ModelServer.Entry) -> String {
        let payload = entry.json.flatMap {
            (try? JSONSerialization.jsonObject(with: Data(keys.text($0).utf8))) as? [String: Any]
        }
        return Self.line(
            entry.device.name, entry.kind.name, entry.place.table.name,
            keys.text(entry.place.keyText),
            entry.version, payload?.mapValues { "\($0)" })
    }

    private static func line(
        _ device: String, _ operation: String, _ table: String, _ key: String, _ version: Int,
        _ payload: [String: String]?
    ) -> String {
        let fields = payload?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return "\(device.isEmpty ? "server" : device) \(operation) \(table) \(key) \(version) "
            + (fields?.joined(separator: " ") ?? "deleted")
    }
}
