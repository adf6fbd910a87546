import Foundation
import NIOCore
import Synchronization

/// Another user, who works steadily and asks for little, while somebody attacks.
final class Victim: Sendable {
    enum Work: String, Codable, CaseIterable, Hashable, Sendable {
        /// An upload of one change.
        case upload
        /// The first page of the log.
        case page
        /// A request for news when there are none.
        case poll
        /// A new connection for one request.
        case connect
        /// A watch that begins, on a connection of its own.
        case watch
        /// A long poll that waits for a second.
        case longPoll
    }

    /// What the latencies that are judged are of.
    static let usualWork: Set<Work> = [.upload, .page, .poll]
    /// Between an answer and the next request of the same kind.
    private static let pause: Duration = .milliseconds(50)
    /// The same for what makes a connection of its own, or waits anyway.
    private static let longPause: Duration = .milliseconds(500)
    /// Longest wait for an answer; then it counts as none.
    static let patience: TimeAmount = .seconds(10)
    static let rows = 2000
    static let rowsPerPage = 100

    let record = VictimRecord()
    private let target: LoadTarget
    private let device: LoadDevice
    private let work: Set<Work>
    /// The log's end, as far as this device knows.
    private let head = Atomic(Victim.rows)
    private let isOver = Atomic(false)

    init(_ field: SiegeField, also work: Set<Work>) async throws {
        device = try await field.readers("victim", changes: Self.rows)[0]
        // A thread of its own, so that what the attack costs its maker does not count as latency.
        target = try field.target(patience: Self.patience)
        self.work = Self.usualWork.union(work)
    }

    /// Works until it is stopped.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for work in work { group.addTask { await self.keepAt(work) } }
        }
        try? await target.shutDown()
    }

    func stop() { isOver.store(true, ordering: .releasing) }

    private func keepAt(_ work: Work) async {
        var asker: Asker?
        var uploads = UploadSource(device, .inserts, changes: 1)
        while !isOver.load(ordering: .acquiring), !Task.isCancelled {
            let phase = record.phase
            let start = NIODeadline.now()
            let answer: String
            do {
                answer = try await ask(work, &asker, &uploads)
            } catch {
                asker?.close()
                asker = nil
                answer = AttackTrouble.name(error)
            }
            let microseconds = UInt64((.now() - start).nanoseconds / 1000)
            record.add(.init(work: work, answer: answer, microseconds: microseconds), in: phase)
            let pause = Self.usualWork.contains(work) ? Self.pause : Self.longPause
            try? await Task.sleep(for: pause)
        }
        asker?.close()
    }

    private func ask(
        _ work: Work, _ asker: inout Asker?, _ uploads: inout UploadSource
    ) async throws -> String {
        switch work {
        case .upload:
            let answer = try await exchange(uploads.next(), &asker)
            guard answer.status == 200 else { return Self.name(answer) }
            _ = try answer.body.withUnsafeReadableBytes { try uploads.take($0) }
            head.store(uploads.head, ordering: .releasing)
            return "200"
        case .page: return Self.name(try await exchange(download(after: 0), &asker))
        case .poll: return Self.name(try await exchange(download(after: end), &asker))
        case .longPoll:
            return Self.name(try await exchange(download(after: end, "&wait=1"), &asker))
        case .connect:
            asker = nil
            let answer = try await exchange(download(after: end), &asker)
            asker?.close()
            return Self.name(answer)
        case .watch: return "\(try await watch())"
        }
    }

    /// The status; of an error, its code too.
    private static func name(_ answer: Asker.Answer) -> String {
        struct Refusal: Decodable { let error: String }
        guard answer.status != 200,
            let refusal = try? JSONDecoder().decode(
                Refusal.self, from: Data(answer.body.readableBytesView))
        else { return "\(answer.status)" }
        return "\(answer.status) \(refusal.error)"
    }

    private var end: Int { head.load(ordering: .acquiring) }

    private func download(after: Int, _ more: String = "") -> ByteBuffer {
        RequestBytes.get(
            "/sync/download?after=\(after)&limit=\(Self.rowsPerPage)\(more)", token: device.token)
    }

    private func exchange(
        _ request: ByteBuffer, _ asker: inout Asker?
    ) async throws -> Asker.Answer {
        if let asker { return try await asker.exchange(request, within: Self.patience) }
        let fresh = try await Asker(target)
        asker = fresh
        return try await fresh.exchange(request, within: Self.patience)
    }

    private func watch() async throws -> Int {
        let request = RequestBytes.get("/sync/watch?after=\(end)", token: device.token)
        let (channel, status) = try await target.hold(request)
        // Its end is the answer that does not come.
        let limit = channel.eventLoop.scheduleTask(in: Self.patience) {
            channel.close(promise: nil)
        }
        defer {
            limit.cancel()
            channel.close(promise: nil)
        }
        return try await status.get()
    }
}
