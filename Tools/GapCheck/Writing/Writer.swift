/// A device that writes until there are enough changes.
struct Writer: Sendable {
    let device: GapDevice
    var script: WriterScript

    /// What a device has done.
    struct Tally: Sendable {
        let device: String
        var applied = IDSet()
        var conflicts = 0
        var cascaded = 0

        mutating func add(_ settled: WriterScript.Settled) {
            for id in settled.applied { applied.insert(id) }
            conflicts += settled.conflicts
            cascaded += settled.cascaded
        }
    }

    /// - Parameter isEnough: asked before each upload.
    mutating func run(until isEnough: () -> Bool) async throws -> Tally {
        var tally = Tally(device: device.name)
        while !isEnough() { try await upload(script.nextBatch(), &tally) }
        return tally
    }

    /// The one change that every reader of the log must still get.
    mutating func close(_ tally: inout Tally) async throws {
        try await upload(script.lastBatch(), &tally)
    }

    /// Sends the same bytes until they are answered.
    private mutating func upload(_ batch: [WriterChange], _ tally: inout Tally) async throws {
        let settled = try script.settle(batch, try await device.upload(batch).outcomes)
        device.progress.add(settled.applied.count + settled.cascaded)
        tally.add(settled)
    }
}
