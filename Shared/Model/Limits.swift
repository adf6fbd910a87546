/// What one request may ask for. Every limit can be configured within its bounds and is answered clearly.
package struct WireLimits: Hashable, Sendable {
    /// Changes in one upload; over it every change is answered `batch_too_large`.
    package var changesPerUpload = 1000
    /// Bytes of one change's payload.
    package var bytesPerPayload = 1 << 20
    /// Bytes of one request body, inflated; over it the answer is 413.
    package var bytesPerBody = 16 << 20
    /// Rows of one page.
    package var rowsPerPage = 1000

    package init() {}

    /// Bytes of payloads in one answer, unless a single row has more: a page ends early, and further conflicts
    /// are answered `batch_too_large`. Half of what a call's answer may have leaves room for all the rest.
    package static let payloadBytesPerAnswer = 8 << 20
    /// Bytes of the largest row that devices get, as JSON: what one call's answer can carry in
    /// addition to everything else. Plain SQL that would write a larger one into a registered table
    /// is refused.
    package static let largestRowBytes = 16 << 20
    /// Changes in one upload that are answered one by one, if only as too many; over it the answer is 413.
    package static let answeredChanges = 50_000
    /// Rows of a page when the caller asks for no number.
    package static let defaultRowsPerPage = 100
    /// Longest time a download may wait for news, in seconds.
    package static let maximumWaitSeconds = 55
    /// Longest user or device id, in UTF-8 bytes.
    package static let maximumIdentityBytes = 256
}

/// Names of roles in tokens and in `oversync.yaml`: letters, digits, `.`, `_`, `:` and `-`, at most 63.
package func isRoleName(_ text: String) -> Bool {
    (1...63).contains(text.utf8.count)
        && text.utf8.allSatisfy { byte in
            byte &- UInt8(ascii: "0") < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 26
                || ".:_-".utf8.contains(byte)
        }
}

/// Names of schemas and tables on the wire: `^[a-z0-9_]+$`, at most PostgreSQL's 63 bytes.
package func isWireIdentifier(_ text: some StringProtocol) -> Bool {
    !text.isEmpty && text.utf8.count <= 63
        && text.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || byte &- UInt8(ascii: "0") < 10
                || byte &- UInt8(ascii: "a") < 26
        }
}
