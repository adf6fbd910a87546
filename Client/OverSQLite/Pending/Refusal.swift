/// Why a row cannot be taken, by this device or by the server.
struct Refusal: Hashable, Sendable {
    /// The protocol's reason, or one of ours below.
    let reason: String
    /// For people; never parsed.
    let message: String?

    /// The row's key has no form on the wire, so no change can name the row.
    static let unsendableKey = Refusal(
        reason: "unsendable_key", message: "the key is not of the kind that the table's keys are")

    /// A value has no form on the wire.
    static func unsendableValue(column: String, _ why: String) -> Refusal {
        Refusal(reason: "unsendable_value", message: "\(column): \(why)")
    }

    /// More than a request may hold.
    static let tooLarge = Refusal(
        reason: "too_large", message: "the gateway takes no row so large")

    /// The app's resolver threw.
    static func resolverFailed(_ error: any Error) -> Refusal {
        Refusal(reason: "resolver_failed", message: "\(error)")
    }
}
