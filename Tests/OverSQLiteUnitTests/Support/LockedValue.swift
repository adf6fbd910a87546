import Synchronization

/// A value that closures of a test change and look at.
final class LockedValue<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) { storage = Mutex(value) }

    var value: Value { storage.withLock { $0 } }

    @discardableResult
    func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        storage.withLock { value in
            var copy = value
            let result = body(&copy)
            value = copy
            return result
        }
    }
}
