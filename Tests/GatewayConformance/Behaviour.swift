/// Something that every gateway does in the same way.
package struct Behaviour: Sendable, CustomStringConvertible {
    /// A sentence.
    package let name: String
    let check: @Sendable (Conversation) async throws -> Void

    package var description: String { name }

    init(_ name: String, check: @escaping @Sendable (Conversation) async throws -> Void) {
        self.name = name
        self.check = check
    }

    /// - Returns: every answer that was not as expected.
    package func differences(of gateway: GatewayUnderTest) async throws -> [String] {
        let conversation = Conversation(gateway)
        try await check(conversation)
        return conversation.differences
    }

    package static let all =
        Uploads.behaviours + Refusals.behaviours + Bodies.behaviours + Feeds.behaviours
        + Histories.behaviours + Tags.behaviours + Rights.behaviours + Sums.behaviours
        + Numbers.behaviours + Doors.behaviours
}
