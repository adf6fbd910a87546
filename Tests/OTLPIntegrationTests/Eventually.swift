import Testing

/// Polls a condition that has no event, with a deadline.
func eventually(_ condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while !condition() {
        try #require(ContinuousClock.now < deadline, "the condition did not come true in time")
        // Between looks only; what passes is the condition, not the time.
        try await Task.sleep(for: .milliseconds(5))
    }
}
