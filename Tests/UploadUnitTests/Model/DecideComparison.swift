import Model
import ServerModel
import Sidecar

@testable import UploadService

/// Decides one step after the other from a reading, as `UploadTransaction` does, and compares with
/// the model's answers.
struct DecideComparison {
    private(set) var store = FactStore()

    /// - Returns: the first difference; nil if there is none.
    mutating func take(_ step: RandomHistory.Step, wanted: [ModelServer.Answer]) -> String? {
        switch step {
        case .write(let write):
            store.write(write)
            return nil
        case .upload(let upload):
            let outcomes = decide(upload)
            for (index, (outcome, answer)) in zip(outcomes, wanted).enumerated()
            where !Self.isSame(outcome, answer, upload.changes[index]) {
                return "change \(upload.changes[index].id): \(outcome.map { "\($0)" } ?? "nothing")"
                    + " instead of \(answer)"
            }
            return nil
        }
    }

    private mutating func decide(_ upload: ModelServer.Upload) -> [ChangeVerdict?] {
        let changes = ProcessingOrder.of(ModelChanges.make(upload.changes), in: modelSchema)
        let writer = UploadRequest { position in
            let sent = upload.changes[changes[position].index]
            return StoredWriter(
                payload: sent.payload.flatMap { ModelServer.Entry.Content.sent($0).bytes },
                device: upload.device.name, changeID: ChangeID(sent.id), timestamp: "")
        }
        let start = UploadPlan(
            schema: modelSchema, request: writer, reading: store.reading(for: upload, changes),
            count: changes.count)
        var plan = start
        let entries = plan.decide(changes[...])
        if upload.isAtomic, plan.hasUnapplied {
            plan.abortApplied()
            return plan.outcomes
        }
        if store.write(entries, of: upload, changes) == nil { return plan.outcomes }
        return isolate(upload, changes, start)
    }

    /// Some row is refused: each change is tried by itself, rows that point at each other together.
    private mutating func isolate(
        _ upload: ModelServer.Upload, _ changes: [Change], _ start: UploadPlan
    ) -> [ChangeVerdict?] {
        var plan = start
        let before = store
        let cycles = RowCycles(changes[...], in: modelSchema)
        var rest = changes[...]
        while let first = rest.indices.first {
            let range = cycles.span(of: first) ?? first..<first + 1
            rest = changes[range.upperBound...]
            var trial = plan
            let entries = trial.decide(changes[range])
            if let refusal = store.write(entries, of: upload, changes) {
                for change in changes[range] {
                    plan.conclude(change.index, as: Self.outcome(refusal, change))
                }
                continue
            }
            plan = trial
            if store.log(of: upload.user).count != plan.lastSequence {
                plan.learn(store.reading(for: upload, changes))
            }
        }
        if upload.isAtomic, plan.hasUnapplied {
            store = before
            plan.abortApplied()
        }
        return plan.outcomes
    }

    private static func outcome(_ refusal: FactStore.Refusal, _ change: Change) -> ChangeVerdict {
        switch refusal {
        case .keyTaken:
            .invalid(
                .keyTaken(modelSchema.tables[change.table].registered.name, change.row.key))
        case .badTitle: .materializeError(version: 0, message: "23514")
        case .stillReferenced: .materializeError(version: 0, message: "23503")
        }
    }

    private static func isSame(
        _ outcome: ChangeVerdict?, _ answer: ModelServer.Answer, _ change: ModelServer.Change
    ) -> Bool {
        switch (answer, outcome) {
        case (.applied(let version), .applied(let own)),
            (.repeated(let version), .applied(let own)):
            own == RowVersion(version)
        case (.nothingToDelete, .applied(nil)), (.aborted, .aborted): true
        case (.conflict(let entry), .conflict(let row)):
            row.version == entry.version && row.isDeleted == (entry.content == .deleted)
                && row.key == change.place.row.key && row.device == entry.device.name
                && row.changeID == entry.id && row.payload == entry.content.bytes
        case (.rowMissing, .invalid(let refusal)): refusal.reason == .rowMissing
        case (.keyTaken, .invalid(let refusal)): refusal.reason == .keyTaken
        case (.noteMissing(let note), .invalid(let refusal)):
            refusal.details
                == .missing(["m.notes:\(RowKey.uuid(high: 0, low: UInt64(note)).text)"])
        case (.badTitle, .materializeError(_, let message)): message == "23514"
        case (.stillReferenced, .materializeError(_, let message)): message == "23503"
        default: false
        }
    }
}
