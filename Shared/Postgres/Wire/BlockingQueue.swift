import Dispatch

extension DispatchQueue {
    /// A queue for one call that may block its thread for long.
    ///
    /// A serial queue of its own gets a thread beyond the number of processors. Those of a concurrent queue are shared
    /// with Swift's tasks, of which a few calls to a silent name server would stop all.
    static func blocking(_ label: String) -> DispatchQueue { DispatchQueue(label: label) }
}
