import Model
import Protos
import RPC
import ServiceKit
import Sidecar

/// What a caller asked for, checked by the gateway and bounded here once more.
struct PageRequest: Sendable {
    let user: UserID
    let device: DeviceID
    let after: Sequence64
    /// Nil: the window ends at the user's last sequence, as read now.
    private(set) var until: Sequence64?
    /// The page ends here, though the window has more; nil if only its size ends it.
    private(set) var stop: Sequence64?
    let limit: Int
    let schema: String?
    let includesOwn: Bool
    let wait: Duration
    /// Everything that was committed before the request is to be in the page, also what this
    /// replica has not noticed yet.
    let isFresh: Bool
    /// The history that the cursor belongs to; nil when the caller did not say.
    let epoch: String?
    /// What the device knows of that history; nil when it did not say.
    let pair: HistoryPair?
    let format: PageFormat
    let roles: Set<String>
    /// See ``Caller/keyKinds``.
    let keyKinds: Set<KeyKind>
    /// The names of the tables whose changes are asked for; nil: of all that the caller may read.
    let tables: Set<String>?
    /// The fingerprint of the tables that the device takes for readable; nil when it did not say.
    let readable: String?
    /// What a standby must show to serve the page; nil: the primary serves it.
    private(set) var proof: StandbyProof?

    init(
        _ request: PullChangesRequest, user: UserID, device: DeviceID, roles: [String] = [],
        keyKinds: Set<KeyKind> = [], limits: WireLimits
    ) {
        self.user = user
        self.device = device
        self.roles = Set(roles)
        self.keyKinds = keyKinds
        tables = request.tables.isEmpty ? nil : Set(request.tables)
        readable = request.readable.isEmpty ? nil : request.readable
        epoch = request.epoch.isEmpty ? nil : request.epoch
        pair = HistoryPair(told: request.historySeq, request.historyTag)
        format = request.asProtobuf ? .protobuf : .json
        after = max(0, request.after)
        until = request.until > 0 ? request.until : nil
        let asked = request.limit > 0 ? Int(request.limit) : WireLimits.defaultRowsPerPage
        limit = min(asked, limits.rowsPerPage)
        schema = request.schema.isEmpty ? nil : request.schema
        includesOwn = request.includeSelf
        isFresh = request.fresh
        wait = .seconds(min(Int(request.waitSeconds), WireLimits.maximumWaitSeconds))
    }
}

extension PageRequest {
    /// On whose behalf it is.
    var caller: Caller { Caller(user: user, device: device, roles: roles, keyKinds: keyKinds) }

    /// The end of the window that the caller asked for, never beyond the log's own.
    func window(of scope: ScopeState) -> Sequence64 { min(until ?? scope.head, scope.head) }

    /// The last change that may be in the page.
    var end: Sequence64 { min(until ?? .max, stop ?? .max) }

    /// Lets a standby serve the page, within the window that the primary gives it.
    func served(by proof: StandbyProof) -> PageRequest {
        var request = self
        (request.proof, request.until) = (proof, proof.window)
        return request
    }

    /// Ends the page before an atomic upload.
    mutating func leaveOut(_ part: PartOfAtomicUpload) {
        switch part {
        case .tooLarge(let sequences): stop = max(1, sequences.lowerBound) - 1
        case .beyondWindow(let sequences): until = max(1, sequences.lowerBound) - 1
        }
    }

    /// Whether own changes that come although they were not asked for are shown as nobody's:
    /// clients that know no epoch are older than such changes, and skip their own.
    var hidesOwnName: Bool { !includesOwn && epoch == nil }

    /// Whether the page tells the change at the window's end. Older clients do not ask.
    var tellsHistory: Bool { epoch != nil || pair != nil }

    /// Whether what is known of a log is enough to answer without the database.
    func isProven(by scope: ScopeState) -> Bool {
        guard tellsHistory else { return true }
        guard let pair else { return scope.head == 0 || scope.end != nil }
        return pair == scope.end
    }

    var cursor: CursorCheck { CursorCheck(after: after, epoch: epoch) }
}

extension HistoryPair {
    /// As a request tells it; nil if it tells none.
    init?(told sequence: Sequence64, _ tag: UInt64) {
        guard sequence > 0 else { return nil }
        self.init(sequence: sequence, tag: tag)
    }
}

/// Checks whether a cursor belongs to the log as it is. A device whose cursor does not starts again
/// from 0, which is always served completely.
struct CursorCheck {
    let after: Sequence64
    /// Nil when the caller did not say: then it is an older client, which knows `history_pruned` alone.
    let epoch: String?

    /// - Throws: `RPCFailure` for a cursor that cannot be served truly.
    func check(_ reading: ScopeReading) throws(RPCFailure) {
        let scope = reading.state
        if let epoch, epoch != scope.epoch { throw .epochChanged }
        if reading.history == .forked { throw .historyForked }
        if epoch != nil, after > scope.head {
            throw RPCFailure(
                .conflict, code: "checkpoint_ahead",
                message:
                    "The cursor \(after) is beyond the log's end \(scope.head): the server was restored; start from 0"
            )
        }
        if isBelowFloor(of: scope), reading.hydratedFrom != scope.floor {
            throw RPCFailure(
                .gone, code: "history_pruned",
                message:
                    "Deletes before \(scope.floor) are no longer kept, and the cursor is \(after): start from 0"
            )
        }
        if reading.history == .unproven { throw .historyUnproven }
    }

    /// Whether deletes that this cursor has not met yet may have been compacted away.
    func isBelowFloor(of scope: ScopeState) -> Bool { after > 0 && after < scope.floor }
}
