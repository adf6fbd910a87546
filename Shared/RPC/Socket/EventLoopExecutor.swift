import NIOCore
import Synchronization

/// Runs tasks on an event loop, so that they go on in the turn in which what they waited for came.
///
/// A task of Swift's own pool is woken on another thread for each read and each answer: at small requests
/// that costs more than the work.
package final class EventLoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    private init(_ loop: any EventLoop) { self.loop = loop }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    private static let all = Mutex<[ObjectIdentifier: EventLoopExecutor]>([:])

    /// The one executor of a loop; loops live as long as the process.
    package static func of(_ loop: any EventLoop) -> EventLoopExecutor {
        all.withLock { all in
            let id = ObjectIdentifier(loop)
            if let executor = all[id] { return executor }
            let executor = EventLoopExecutor(loop)
            all[id] = executor
            return executor
        }
    }
}
