import OverSQLite

/// A transport for which a test can plan faults or rejections. It knows which plans were never met,
/// because a test whose fault never happened proves nothing.
public protocol TestTransport: HTTPTransport {
    /// One line for each plan that no request has met so far, such as `no request to /sync/upload
    /// met the fault loseAnswer`. ``withTestDevices(_:tables:migrate:isolation:_:)`` fails a test
    /// that leaves any.
    var unusedPlans: [String] { get }
}
