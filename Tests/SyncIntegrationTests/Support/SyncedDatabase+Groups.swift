import Model
import NIOCore
import RPC
import Synchronization

@testable import UploadService

extension SyncedDatabase {
    /// An upload of a group.
    struct Member {
        var device: String
        /// As the wire has them, without the brackets around the list.
        var changes: String
        var epoch: String?
        /// What its device knows of the history.
        var pair: HistoryPair?
        /// How long its caller waits.
        var patience: Duration = .seconds(30)
    }

    /// Writes uploads of one user as the queue hands them over when they have waited together.
    ///
    /// - Parameter forgetting: whether devices that earlier groups have left out may be in it.
    func together(
        _ user: String, _ members: [Member], forgetting: Bool = true
    ) async throws -> [Result<UploadResult, any Error>] {
        if forgetting { executor.groups.exclusions.withLock { $0 = GroupExclusions() } }
        let uploads = try members.map { member in
            try executor.queued(
                ByteBuffer(string: #"{"changes":[\#(member.changes)]}"#),
                from: CallerIdentity(
                    user: user, device: member.device, keyKinds: Self.keyKinds),
                UploadOptions(epoch: member.epoch, pair: member.pair),
                deadline: .now + member.patience)
        }
        var outcomes: [Int: Result<UploadResult, any Error>] = [:]
        await executor.write(uploads) { place, outcome in
            precondition(outcomes[place] == nil, "one answer each")
            outcomes[place] = outcome.map(\.result)
        }
        return uploads.indices.map { outcomes[$0] ?? .failure(RPCFailure.internal) }
    }

    /// The answers to a group, a line for each change.
    func lines(_ user: String, _ members: [Member]) async throws -> [[String]] {
        try await together(user, members).map { try $0.get().outcomes.map(\.line) }
    }
}
