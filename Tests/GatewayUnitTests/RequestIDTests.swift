import Testing

@testable import Gateway

/// The names of requests that bring none.
struct RequestIDTests {
    @Test func `names of many tasks at once are all different`() async {
        let names = await withTaskGroup(of: [String].self) { tasks in
            for _ in 0..<8 {
                tasks.addTask { (0..<500).map { _ in RequestID.fresh() } }
            }
            return await tasks.reduce(into: Set<String>()) { $0.formUnion($1) }
        }
        #expect(names.count == 4000)
        #expect(names.allSatisfy { $0.count == 24 && $0.allSatisfy(\.isHexDigit) })
    }
}
