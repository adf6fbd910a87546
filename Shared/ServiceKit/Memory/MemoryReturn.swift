import Dispatch
import ServiceLifecycle

/// Gives memory back to the system that a burst of work has left free.
///
/// It looks at what the process holds rather than at its work, so whatever the burst was, requests,
/// connections or a large result, is given back in the same way.
struct MemoryReturn: Service {
    /// Between two looks, and so between two returns.
    static let interval: Duration = .seconds(10)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var freed = FreedMemory()
            // A pause, since the allocator does not signal that memory became free. Cancellation
            // ends it with an error.
            while (try? await Task.sleep(for: Self.interval)) != nil {
                await Self.look(&freed)
            }
        }
    }

    /// In a thread of its own: the allocator is looked through with its locks held.
    private static func look(_ freed: inout FreedMemory) async {
        let former = freed
        freed = await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async {
                var freed = former
                if let now = ProcessMemory.look(),
                    freed.look(resident: now.resident, allocated: now.allocated)
                {
                    ProcessMemory.returnFreed()
                    if let after = ProcessMemory.look() {
                        freed.returned(resident: after.resident, allocated: after.allocated)
                    }
                }
                continuation.resume(returning: freed)
            }
        }
    }
}
