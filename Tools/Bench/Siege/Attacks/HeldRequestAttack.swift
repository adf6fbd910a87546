import NIOCore

/// One token that opens as many watches and long polls as it gets, and keeps them.
struct HeldRequestAttack: Attack {
    private static let ofEach = 600
    /// Connections that are made at once.
    private static let handshakes = 32

    let id = "held-requests"
    let work = "one token opens 600 watches and 600 long polls"
    let alsoByVictim: Set<Victim.Work> = [.watch, .longPoll]

    func prepare(_ field: SiegeField) async throws -> Assault {
        let device = try await field.device("attacker")
        let requests = [
            "/sync/watch?after=0", "/sync/download?after=0&wait=55",
        ].map { RequestBytes.get($0, token: device.token) }
        let target = field.target
        let seconds = field.plan.seconds
        return {
            let record = AttackRecord()
            let held = await Self.open(requests, target, record)
            defer { for channel in held { channel.close(promise: nil) } }
            try await Task.sleep(for: .seconds(seconds))
            var report = record.report
            // The user has no log: a long poll is answered after its wait, which is longer.
            report.figures["watches"] = Double(report.count("200"))
            report.figures["long polls"] = Double(held.count - report.all)
            return report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [seen.victimIsAnswered, seen.victimDid(.watch), seen.victimDid(.longPoll)]
    }

    private static func open(
        _ requests: [ByteBuffer], _ target: LoadTarget, _ record: AttackRecord
    ) async -> [any Channel] {
        await withTaskGroup(of: (any Channel)?.self) { group in
            var held: [any Channel] = []
            for index in 0..<requests.count * ofEach {
                if index >= handshakes, let opened = await group.next(), let channel = opened {
                    held.append(channel)
                }
                group.addTask {
                    await Self.open(requests[index % requests.count], target, record)
                }
            }
            for await opened in group {
                if let channel = opened { held.append(channel) }
            }
            return held
        }
    }

    private static func open(
        _ request: ByteBuffer, _ target: LoadTarget, _ record: AttackRecord
    ) async -> (any Channel)? {
        let start = NIODeadline.now()
        do {
            let (channel, status) = try await target.hold(request)
            // A long poll is answered when its wait is over: what does not come here is held.
            status.whenComplete { outcome in
                switch outcome {
                case .success(let status):
                    record.answered(
                        AttackAnswer(status: status, isStatusAlone: true), after: .now() - start)
                case .failure(let error): record.failed(AttackTrouble.name(error))
                }
            }
            return channel
        } catch {
            record.failed(AttackTrouble.name(error))
            return nil
        }
    }
}
