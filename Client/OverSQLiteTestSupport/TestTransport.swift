import OverSQLite

/// A transport that a test makes plans for: faults, refusals. Those that nothing met are known,
/// since a test whose fault never happened has shown nothing.
public protocol TestTransport: HTTPTransport {
    /// A line for each plan that no request has met so far, such as `no request to /sync/upload met
    /// the fault loseAnswer`. ``withTestDevices(_:tables:migrate:isolation:_:)`` fails the test
    /// that leaves any.
    var unusedPlans: [String] { get }
}
