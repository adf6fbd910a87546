import Bench
import DevStack
import Foundation
import LocalPostgres
import OperatorKit
import Synchronization

/// Samples the memory and the open descriptors of every process of a stack and of this one, and
/// knows which of them ended though nobody killed them.
final class ProcessWatch: Sendable {
    static let services = ["auth", "upload", "download", "gateway"]
    /// The largest of PostgreSQL's processes: how many sessions there are is up to the services'
    /// pools, whose descriptors are watched.
    static let postgres = "PostgreSQL"
    /// This process, with all devices.
    static let devices = "devices"

    /// What a process had at the moments of the samples.
    struct Series: Sendable {
        /// Such as `upload`.
        let name: String
        let id: Int32
        /// Bytes that no other process can map.
        var memory: [Int] = []
        var descriptors: [Int] = []
    }

    private struct State {
        var series: [Int32: Series] = [:]
        /// The services that ran when they were last looked at.
        var running: [Int32: String] = [:]
        var struck: Set<Int32> = []
        var ended: [String: Int] = [:]
        var isSampling = false
    }

    private let stack: StackAddress
    private let cluster: LocalPostgres
    private let state = Mutex(State())

    init(stack: StackAddress, cluster: LocalPostgres) {
        self.stack = stack
        self.cluster = cluster
    }

    /// Looks at everything again and again until the time is over, or the task is cancelled.
    func run(every pause: Duration, until isOver: () -> Bool) async {
        while !Task.isCancelled, !isOver() {
            look()
            try? await Task.sleep(for: pause)
        }
    }

    /// From now on samples are kept. Those of before are of other processes.
    func startSampling() { state.withLock { $0.isSampling = true } }

    func stopSampling() { state.withLock { $0.isSampling = false } }

    /// The process is about to be killed.
    func strike(_ id: Int32) { _ = state.withLock { $0.struck.insert(id) } }

    /// How many services ended though nobody killed them, by name.
    var ended: [String: Int] { state.withLock { $0.ended } }

    var series: [Series] {
        state.withLock { state in
            state.series.values.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
        }
    }

    func processes(of service: String) -> [Int32] {
        ServiceProcesses.named("oversync-" + service, of: stack)
    }

    private func look() {
        var running: [Int32: String] = [:]
        for service in Self.services {
            for id in processes(of: service) { running[id] = service }
        }
        let isSampling = state.withLock { state in
            for (id, name) in state.running where running[id] == nil {
                if !state.struck.contains(id) { state.ended[name, default: 0] += 1 }
            }
            state.running = running
            return state.isSampling
        }
        guard isSampling else { return }
        for (id, name) in running { sample(name, id, [id]) }
        sample(Self.devices, getpid(), [getpid()])
        if let server = cluster.process {
            sample(Self.postgres, server, ProcessGroups.family(of: server))
        }
    }

    private func sample(_ name: String, _ id: Int32, _ family: [Int32]) {
        let memories = family.compactMap(ProcessGroups.memory)
        guard let memory = memories.map({ $0.resident - $0.shared }).max() else { return }
        let descriptors = family.map(ProcessGroups.descriptors).max() ?? 0
        state.withLock { state in
            state.series[id, default: Series(name: name, id: id)].memory.append(memory)
            state.series[id]?.descriptors.append(descriptors)
        }
    }
}
