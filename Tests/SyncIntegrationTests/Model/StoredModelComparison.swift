import Foundation
import ServerModel

@testable import UploadService

/// Takes steps on a real database and on the model of stored rows, and says where they part.
struct StoredModelComparison {
    let database: SyncedDatabase
    private var model = StoredModel()
    private var cursors = Array(repeating: 0, count: StoredModel.User.allCases.count)

    init(database: SyncedDatabase) { self.database = database }

    /// - Returns: the first difference; nil if there is none.
    mutating func take(_ step: StoredHistory.Step) async throws -> String? {
        switch step {
        case .write(let write):
            // A shortened history may have lost what the statement needs.
            guard model.allows(write) else { return nil }
            let sql = model.sql(write)
            model.write(write)
            try await database.execute(sql)
        case .upload(let upload):
            if let text = try await answers(upload) { return text }
        case .page(let user, let device, let cursor):
            return try await page(user, device, after: cursor)
        }
        for user in StoredModel.User.allCases {
            if let text = try await feed(of: user) { return text }
        }
        return nil
    }

    /// Takes uploads of one user, none of them atomic, as a group that shares a transaction.
    mutating func take(together uploads: [StoredModel.Upload]) async throws -> String? {
        var taken: [(upload: StoredModel.Upload, wanted: [String])] = []
        for upload in uploads where model.isDecidable(upload) {
            taken.append((upload, model.upload(upload).map(Self.line)))
        }
        guard let user = taken.first?.upload.user else { return nil }
        let outcomes = try await database.together(
            user.name,
            taken.map { .init(device: $0.upload.device.name, changes: $0.upload.json) })
        for (outcome, (upload, wanted)) in zip(outcomes, taken) {
            let answer = try outcome.get().outcomes.map(Self.line)
            if let index = wanted.indices.first(where: { answer[$0] != wanted[$0] }) {
                return "change \(upload.changes[index].id): \(answer[index]) instead of "
                    + wanted[index]
            }
        }
        return try await feed(of: user)
    }

    private mutating func answers(_ upload: StoredModel.Upload) async throws -> String? {
        guard model.isDecidable(upload) else { return nil }
        let wanted = model.upload(upload).map(Self.line)
        let result = try await database.upload(
            upload.user.name, device: upload.device.name, atomic: upload.isAtomic, upload.json)
        let answer = result.outcomes.map(Self.line)
        if let index = wanted.indices.first(where: { answer[$0] != wanted[$0] }) {
            return "change \(upload.changes[index].id): \(answer[index]) instead of "
                + wanted[index]
        }
        return nil
    }

    private static func line(_ answer: StoredModel.Answer) -> String {
        switch answer {
        case .applied(let version), .repeated(let version): "applied \(version)"
        case .nothingToDelete: "applied"
        case .conflict(let entry):
            "conflict \(entry.version) by \(entry.device.name) \(fields(entry.json))"
        case .rowMissing: "invalid row_missing"
        case .refused(let code): "materialize_error \(code)"
        case .aborted: "aborted"
        }
    }

    private static func line(_ outcome: ChangeVerdict) -> String {
        guard case .conflict(let row) = outcome else { return outcome.line }
        let payload = row.payload.map { String(decoding: $0, as: UTF8.self) }
        return "conflict \(row.version) by \(row.device) "
            + fields(row.isDeleted ? nil : payload)
    }

    private static func fields(_ json: String?) -> String {
        guard let json else { return "deleted" }
        let object =
            (try? JSONSerialization.jsonObject(with: Data(json.utf8))) as? [String: Any] ?? [:]
        return fields(object.mapValues { "\($0)" })
    }

    private static func fields(_ payload: [String: String]?) -> String {
        guard let payload else { return "deleted" }
        return payload.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            .joined(separator: " ")
    }

    /// What was added to a user's log, as a new device reads it.
    private mutating func feed(of user: StoredModel.User) async throws -> String? {
        let cursor = cursors[user.rawValue]
        let read = try await database.download(user.name, after: cursor)
        let wanted = model.log(of: user)[cursor...]
        cursors[user.rawValue] += wanted.count
        guard read.map(\.sequence) == Array(cursor + 1..<cursor + 1 + wanted.count) else {
            return "\(user.name) reads \(read.map(\.sequence)) after \(cursor) instead of "
                + "\(wanted.count) changes"
        }
        return Self.difference(
            read.map(Self.line), wanted.map { Self.line($0, from: $0.device.name) }, user)
    }

    /// What a device gets that asks for no changes of its own, and knows no epoch.
    private func page(
        _ user: StoredModel.User, _ device: StoredModel.Device, after cursor: Int
    ) async throws -> String? {
        let read = try await database.own(user.name, device: device.name, after: cursor)
        let wanted = model.page(user, device, after: cursor).map {
            Self.line($0, from: $0.device == device ? "" : $0.device.name)
        }
        return Self.difference(read.map(Self.line), wanted, user)
    }

    private static func difference(
        _ read: [String], _ wanted: [String], _ user: StoredModel.User
    ) -> String? {
        // Each row's versions give its changes their order.
        for (line, other) in zip(read.sorted(), wanted.sorted()) where line != other {
            return "\(user.name) reads \(line) instead of \(other)"
        }
        return read.count == wanted.count
            ? nil : "\(user.name) reads \(read.count) changes instead of \(wanted.count)"
    }

    private static func line(_ change: SyncedDatabase.Change) -> String {
        "\(change.source) \(change.operation) \(change.table) \(change.key) \(change.version) "
            + fields(change.payload)
    }

    private static func line(_ entry: StoredModel.Entry, from source: String) -> String {
        "\(source) \(entry.kind.name) \(entry.row.table.wireName) \(entry.row.keyText) "
            + "\(entry.version) \(fields(entry.json))"
    }
}
