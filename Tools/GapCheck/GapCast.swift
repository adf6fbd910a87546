import AsyncHTTPClient
import Foundation
import OperatorKit
import Tokens

/// Who takes part: the devices that write, those that read, and those that follow, of the user and
/// of a bystander.
struct GapCast: Sendable {
    /// A bystander's devices, with the names of the user's: names alone tell nobody apart.
    private static let bystanderWriters = 2

    let user = GapUser(name: "gap-user", tag: 0x0A11)
    let bystander = GapUser(name: "gap-bystander", tag: 0x0B0B)
    let progress: GapProgress
    let bystanderProgress: GapProgress
    let writers: [Writer]
    let bystanders: [Writer]
    /// The first gets everything.
    let readers: [FeedReader]
    let bystanderReader: FeedReader
    /// One of each user.
    let followers: [GapFollower]

    init(_ plan: GapCheck.Plan, _ stack: StackAddress, _ client: HTTPClient) async throws {
        let secret = try String(contentsOfFile: stack.hs256SecretFile, encoding: .utf8)
        let mint = await TokenMint(hs256: secret)
        let own = DeviceMaker(user: user, stack: stack, client: client, mint: mint)
        let others = DeviceMaker(user: bystander, stack: stack, client: client, mint: mint)
        progress = own.progress
        bystanderProgress = others.progress
        writers = try await own.writers(plan.writers, seed: plan.seed)
        bystanders = try await others.writers(Self.bystanderWriters, seed: plan.seed)
        readers = try await own.readers(beside: writers, latecomerAt: plan.changes / 2)
        bystanderReader = FeedReader(
            "bystander", .longPoll, limit: 250, device: try await others.device("reader"),
            check: others.check(bystanders))
        followers = [
            try GapFollower(user: user, device: try await own.device("follower"), stack: stack),
            try GapFollower(
                user: bystander, device: try await others.device("follower"), stack: stack),
        ]
    }
}

/// Whose data it is.
struct GapUser: Hashable, Sendable {
    let name: String
    /// The first two bytes of all keys.
    let tag: UInt16
}

/// Makes the devices of one user.
private struct DeviceMaker {
    let user: GapUser
    let stack: StackAddress
    let client: HTTPClient
    let mint: TokenMint
    let progress = GapProgress()

    func device(_ name: String) async throws -> GapDevice {
        try await GapDevice(
            user: user.name, name: name, stack: stack, client: client, mint: mint,
            progress: progress)
    }

    func check(_ writers: [Writer], leavingOut own: String? = nil) -> FeedCheck {
        FeedCheck(
            owner: user.tag, sources: writers.map(\.device.name) + [""], leavingOut: own)
    }

    func writers(_ count: Int, seed: UInt64) async throws -> [Writer] {
        var writers: [Writer] = []
        for number in 0..<count {
            writers.append(
                Writer(
                    device: try await device("device-\(number)"),
                    script: WriterScript(owner: user.tag, writer: UInt16(number), seed: seed)))
        }
        return writers
    }

    /// Two of each kind, one of them late; and the first writer, which reads what others wrote.
    func readers(beside writers: [Writer], latecomerAt start: Int64) async throws -> [FeedReader] {
        let own = writers[0].device
        return [
            try await reader(.cursor, 50, writers), try await reader(.cursor, 333, writers),
            try await reader(.longPoll, 100, writers),
            try await reader(.longPoll, 1000, writers, startsAt: start),
            try await reader(.watch, 70, writers), try await reader(.watch, 500, writers),
            FeedReader(
                own.name, .longPoll, limit: 200, device: own,
                check: check(writers, leavingOut: own.name)),
        ]
    }

    private func reader(
        _ kind: FeedReader.Kind, _ limit: Int, _ writers: [Writer], startsAt: Int64 = 0
    ) async throws -> FeedReader {
        let name = "\(kind)-\(limit)"
        return FeedReader(
            name, kind, limit: limit, device: try await device(name), startsAt: startsAt,
            check: check(writers))
    }
}
