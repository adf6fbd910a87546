import Dispatch

extension DispatchQueue {
    /// A queue for one call that may block its thread for long.
    ///
    /// A serial queue of its own gets a thread beyond the number of processors. A concurrent queue
    /// shares its threads with Swift's tasks, and a few calls to a silent name server would stop
    /// all of them.
    static func blocking(_ label: String) -> DispatchQueue { DispatchQueue(label: label) }
}
