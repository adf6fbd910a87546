/// What the readers of one user must have got, by what was written and what the database holds.
struct GapJudgement {
    let user: GapUser
    let head: Int64
    private let applied: [String: IDSet]
    let state: [GapRow: RowContent]
    /// Changes that plain SQL has made: by the back end, and by cascades of the devices' deletes.
    private let plain: Int64

    init(of user: GapUser, _ tallies: [Writer.Tally], _ server: ServerSide) async throws {
        self.user = user
        head = try await server.lastSequence(of: user)
        applied = Dictionary(uniqueKeysWithValues: tallies.map { ($0.device, $0.applied) })
        state = try await server.state(of: user)
        let cascaded = tallies.reduce(0) { $0 + $1.cascaded }
        plain = try await server.written(for: user) + Int64(cascaded)
    }

    /// - Parameter reports: the first is of a reader of everything.
    func judge(_ reports: [FeedReader.Report]) -> [FeedReader.Report] {
        guard let reference = reports.first?.check else { return [] }
        return reports.enumerated().map { index, report in
            var report = report
            report.check.finish(head: head, reference: index == 0 ? nil : reference)
            report.check.compare(applied: applied)
            if report.check.own == nil { report.check.compare(state: state) }
            return report
        }
    }

    /// Plain SQL has no change ids of its own: its changes are counted.
    func miscount(in reports: [FeedReader.Report]) -> String? {
        let found = reports.first { $0.check.owner == user.tag }?.check.plainChanges ?? 0
        guard found != plain else { return nil }
        return "\(user.name): plain SQL made \(plain) changes, \(found) were delivered"
    }
}
