import SeededRandom

/// A history of uploads and plain SQL, made from a seed.
///
/// Made with the model at hand, so that most of it is what devices do: edits of the rows they know, which is less
/// than the server has while they are offline; repeats after lost answers; requests that arrive after later ones.
package struct RandomHistory {
    package enum Step: ShrinkableStep {
        case upload(ModelServer.Upload)
        case write(ModelServer.Write)

        /// An upload of several changes as uploads of one.
        package var atoms: [Step] {
            guard case .upload(let upload) = self else { return [self] }
            return upload.changes.map { .upload(upload.with([$0])) }
        }

        package func joined(with other: Step) -> Step? {
            guard case .upload(let a) = self, case .upload(let b) = other else { return nil }
            return .upload(a.with(a.changes + b.changes))
        }

        /// Changes sent, or one write.
        package var operations: Int {
            guard case .upload(let upload) = self else { return 1 }
            return upload.changes.count
        }
    }

    package let steps: [Step]

    package init(seed: UInt64, steps count: Int) {
        var maker = HistoryMaker(seed: seed)
        steps = (0..<count).map { _ in maker.step() }
    }
}

/// Makes one step after the other.
package struct HistoryMaker {
    /// What a device has in mind between two uploads.
    private struct DeviceState {
        /// Versions as it last read or guessed them.
        var known: [ModelServer.Place: Int] = [:]
        var sent: [ModelServer.Change] = []
        /// Arrived, but the answer did not: to be sent again.
        var unanswered: [ModelServer.Upload] = []
        /// On the way.
        var delayed: [ModelServer.Upload] = []
    }

    private var batches: BatchMaker
    private var devices: [DeviceState]
    package private(set) var model = ModelServer()
    /// The model's answers to the step made last; none to plain SQL.
    package private(set) var answers: [ModelServer.Answer] = []

    package init(seed: UInt64) {
        batches = BatchMaker(generator: SeededGenerator(seed: seed))
        devices = Array(
            repeating: DeviceState(),
            count: ModelServer.User.allCases.count * ModelServer.Device.allCases.count)
    }

    package mutating func step() -> RandomHistory.Step {
        if batches.chance(6), let write = batches.write(model) {
            model.write(write)
            answers = []
            return .write(write)
        }
        while true {
            let user = batches.pick(ModelServer.User.allCases)
            let device = batches.pick(ModelServer.Device.all)
            let index = user.rawValue * ModelServer.Device.allCases.count + device.rawValue
            if let upload = next(user, device, index) { return .upload(upload) }
        }
    }

    /// Nil if what was made is still on its way.
    private mutating func next(
        _ user: ModelServer.User, _ device: ModelServer.Device, _ index: Int
    ) -> ModelServer.Upload? {
        if batches.chance(3), let upload = devices[index].unanswered.popLast() {
            return arrive(upload, .again, index)
        }
        if batches.chance(3), let upload = devices[index].delayed.popLast() {
            return arrive(upload, .late, index)
        }
        if batches.chance(2) { devices[index].known = model.versions(of: user) }
        let upload = batches.upload(
            user, device, model, known: &devices[index].known, sent: devices[index].sent)
        devices[index].sent += upload.changes
        if batches.chance(12) {
            devices[index].delayed.append(upload)
            return nil
        }
        return arrive(upload, .first, index)
    }

    /// Nil if the outcome of this upload would depend on how PostgreSQL's work is cut.
    private mutating func arrive(
        _ upload: ModelServer.Upload, _ arrival: ModelServer.Upload.Arrival, _ index: Int
    ) -> ModelServer.Upload? {
        var upload = upload
        upload.arrival = arrival
        guard !model.deletesNotesTogether(upload) else { return nil }
        answers = model.upload(upload)
        if batches.chance(8) {
            devices[index].unanswered.append(upload)
        } else {
            learn(from: upload, index)
        }
        return upload
    }

    private mutating func learn(from upload: ModelServer.Upload, _ index: Int) {
        for (change, answer) in zip(upload.changes, answers) {
            switch answer {
            case .applied(let version): devices[index].known[change.place] = version
            case .conflict(let row): devices[index].known[change.place] = row.version
            default: break
            }
        }
    }
}

extension ModelServer {
    /// The version of every row of a user.
    fileprivate func versions(of user: User) -> [Place: Int] {
        var versions: [Place: Int] = [:]
        for entry in log(of: user) { versions[entry.place] = entry.version }
        return versions
    }

    /// Whether an upload deletes a note together with one below it. A foreign key is checked when a set of rows
    /// is written, so that the answer would depend on the sets: the only thing of a batch that the model cannot
    /// say change by change.
    package func deletesNotesTogether(_ upload: Upload) -> Bool {
        let deleted = Set(
            upload.changes.filter { $0.kind == .delete && $0.place.table == .notes }
                .map(\.place.key))
        guard deleted.count > 1 else { return false }
        func isTogether(_ key: Int, _ reference: Reference?) -> Bool {
            guard case .note(let above)? = reference, above != key else { return false }
            return deleted.contains(key) && deleted.contains(above)
        }
        return rows.contains { $0.table == .notes && isTogether($0.key, $1.reference) }
            || upload.changes.contains {
                $0.place.table == .notes && isTogether($0.place.key, $0.payload?.reference)
            }
    }
}
