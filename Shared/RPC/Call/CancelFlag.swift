import Synchronization

/// Says that a task was cancelled, to an event loop that may receive the work after its
/// cancellation. The canceller sets the flag first and then tells the loop; the loop looks at the
/// flag when the work arrives. One of the two always sees the other.
final class CancelFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .acquiring) }

    func set() {
        flag.store(true, ordering: .releasing)
    }
}
