import NIOCore

/// Connections that say nothing, more of them than the gateway may have files open.
struct SilentConnections: Attack {
    private static let connections = 400
    /// Before a connection that the gateway has closed is opened again.
    private static let pause: Duration = .milliseconds(250)

    let id = "silent-400"
    let work = "400 silent connections, the gateway may open 256 files"
    let alsoByVictim: Set<Victim.Work> = [.connect]
    let gatewayFiles: Int? = 256

    func prepare(_ field: SiegeField) async throws -> Assault {
        let target = field.target
        let seconds = field.plan.seconds
        return {
            let record = AttackRecord()
            let end = ContinuousClock.now + .seconds(seconds)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<Self.connections {
                    group.addTask { await Self.keepSilent(target, until: end, record) }
                }
            }
            return record.report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [seen.victimIsAnswered, seen.victimDid(.connect)]
    }

    private static func keepSilent(
        _ target: LoadTarget, until end: ContinuousClock.Instant, _ record: AttackRecord
    ) async {
        while ContinuousClock.now < end, !Task.isCancelled {
            do {
                let channel = try await target.connectSilently()
                let left = (end - .now) / .seconds(1)
                let limit = channel.eventLoop.scheduleTask(
                    in: .nanoseconds(Int64(max(0, left) * 1e9))
                ) { channel.close(promise: nil) }
                try await channel.closeFuture.get()
                limit.cancel()
                record.failed(ContinuousClock.now < end ? "closed by the gateway" : "kept")
            } catch {
                record.failed(AttackTrouble.name(error))
            }
            try? await Task.sleep(for: Self.pause)
        }
    }
}
