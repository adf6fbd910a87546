/// How often each thing that histories are for really happened: a generator must not lose one in silence.
package struct HistoryCensus {
    package enum Event: String, CaseIterable, Sendable {
        // Uploads.
        case answerLost, answerLostAndOthersSince, requestOvertaken, atomicWhole, atomicAborted
        case longBatchWithoutRefusal, goodRowsAroundRefusedOnes, cascadeOfUpload
        // Changes.
        case created, updated, deleted, recreated, chained, unknownColumn
        case repeatedInBatch, repeatedLater, usedIDSucceeds, usedIDConflicts
        case staleConflict, conflictWithPlainSQL, rowMissing, nothingToDelete
        case noteInBatch, noteAboveInBatch, noteIsItself
        case noteMissing, noteOfAnother, noteRefusedInBatch
        case keyTaken, poisonRow, deleteOfReferencedNote
        // Plain SQL.
        case writeInsert, writeUpdate, writeWithoutEffect, writeDelete, cascadeOfWrite
    }

    private struct Sender: Hashable {
        let user: ModelServer.User
        let device: ModelServer.Device
    }

    /// What a device sent so far.
    private struct Sent {
        private(set) var byID: [Int: [ModelServer.Change]] = [:]
        private(set) var newestID = 0

        mutating func add(_ change: ModelServer.Change) {
            byID[change.id, default: []].append(change)
            newestID = max(newestID, change.id)
        }
    }

    package private(set) var counts: [Event: Int] = [:]
    /// Changes sent, and writes.
    package private(set) var operations = 0
    /// User and device together.
    package private(set) var senders = 0

    package init() {}

    package var lines: [String] {
        Event.allCases.map { "\($0.rawValue) \(counts[$0, default: 0])" }
    }

    package mutating func add(_ history: RandomHistory) {
        var model = ModelServer()
        var sent: [Sender: Sent] = [:]
        var last: Sender?
        for step in history.steps {
            operations += step.operations
            let before = model
            switch step {
            case .write(let write):
                model.write(write)
                count(write, before, model)
            case .upload(let upload):
                let sender = Sender(user: upload.user, device: upload.device)
                count(arrival: upload, isAfterOthers: last != sender, sent[sender] ?? Sent())
                let answers = model.upload(upload)
                count(upload, answers, before, model)
                for index in upload.changes.indices {
                    count(index, of: upload, answers, before, sent[sender] ?? Sent())
                }
                for change in upload.changes { sent[sender, default: Sent()].add(change) }
                last = sender
            }
        }
        senders = max(senders, sent.count)
    }

    private mutating func count(_ event: Event) { counts[event, default: 0] += 1 }

    private mutating func count(
        _ write: ModelServer.Write, _ before: ModelServer, _ after: ModelServer
    ) {
        let captured = Self.entries(after) - Self.entries(before)
        switch write {
        case .insert: count(.writeInsert)
        case .update: count(captured == 0 ? .writeWithoutEffect : .writeUpdate)
        case .delete: count(captured > 1 ? .cascadeOfWrite : .writeDelete)
        }
    }

    private mutating func count(
        arrival upload: ModelServer.Upload, isAfterOthers: Bool, _ sent: Sent
    ) {
        switch upload.arrival {
        case .first: break
        case .again: count(isAfterOthers ? .answerLostAndOthersSince : .answerLost)
        case .late:
            let newest = upload.changes.map(\.id).max() ?? 0
            if sent.newestID > newest { count(.requestOvertaken) }
        }
    }

    private mutating func count(
        _ upload: ModelServer.Upload, _ answers: [ModelServer.Answer], _ before: ModelServer,
        _ after: ModelServer
    ) {
        if upload.isAtomic, answers.count > 1 {
            if answers.allSatisfy(\.isApplied) { count(.atomicWhole) }
            if answers.contains(.aborted) { count(.atomicAborted) }
        }
        let applied = answers.count(where: \.isApplied)
        let refused = answers.count(where: \.isRefusedByPostgres)
        if applied > 9, refused == 0 { count(.longBatchWithoutRefusal) }
        if applied > 9, refused > 0 { count(.goodRowsAroundRefusedOnes) }
        let new = after.log(of: upload.user).dropFirst(before.log(of: upload.user).count)
        if new.contains(where: { $0.device == .server }) { count(.cascadeOfUpload) }
    }

    private mutating func count(
        _ index: Int, of upload: ModelServer.Upload, _ answers: [ModelServer.Answer],
        _ before: ModelServer, _ sent: Sent
    ) {
        let change = upload.changes[index]
        let isUsedID = sent.byID[change.id]?.contains { $0 != change } ?? false
        switch answers[index] {
        case .applied(let version):
            count(applied: index, of: upload, answers, before)
            if isUsedID, version != change.base + 1 { count(.usedIDSucceeds) }
        case .repeated:
            count(upload.changes[..<index].contains(change) ? .repeatedInBatch : .repeatedLater)
        case .conflict(let row):
            if isUsedID { count(.usedIDConflicts) }
            if !isUsedID, change.base > 0, change.base < row.version { count(.staleConflict) }
            if row.device == .server { count(.conflictWithPlainSQL) }
        case .noteMissing(let note):
            let isInBatch = zip(upload.changes, answers).contains { other, answer in
                other.place == .init(.notes, note) && other.kind != .delete && !answer.isApplied
            }
            let isOthers = before.rows[.init(.notes, note)].map { $0.owner != upload.user } ?? false
            count(isInBatch ? .noteRefusedInBatch : isOthers ? .noteOfAnother : .noteMissing)
        case .rowMissing: count(.rowMissing)
        case .nothingToDelete: count(.nothingToDelete)
        case .keyTaken: count(.keyTaken)
        case .badTitle: count(.poisonRow)
        case .stillReferenced: count(.deleteOfReferencedNote)
        case .aborted: break
        }
    }

    private mutating func count(
        applied index: Int, of upload: ModelServer.Upload, _ answers: [ModelServer.Answer],
        _ before: ModelServer
    ) {
        let change = upload.changes[index]
        let newest = before.newest(upload.user, change.place)
        if change.kind == .delete {
            count(.deleted)
        } else {
            let isGone = newest?.content == .deleted
            count(newest == nil ? .created : isGone ? .recreated : .updated)
        }
        if change.payload?.hasUnknown == true { count(.unknownColumn) }
        if upload.changes.indices.contains(where: {
            $0 < index && upload.changes[$0].place == change.place && answers[$0].isApplied
        }) {
            count(.chained)
        }
        guard case .note(let note)? = change.payload?.reference else { return }
        if change.place == .init(.notes, note) {
            count(.noteIsItself)
        } else if before.rows[.init(.notes, note)]?.owner != upload.user {
            count(change.place.table == .notes ? .noteAboveInBatch : .noteInBatch)
        }
    }

    private static func entries(_ model: ModelServer) -> Int {
        ModelServer.User.allCases.reduce(0) { $0 + model.log(of: $1).count }
    }
}
