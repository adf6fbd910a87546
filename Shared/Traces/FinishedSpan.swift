/// A span that is over, as an exporter gets it.
package struct FinishedSpan: Sendable {
    package enum Kind: Sendable {
        case server, client, producer, consumer, `internal`
    }

    package enum Value: Hashable, Sendable {
        case text(String)
        case integer(Int64)
        case number(Double)
        case flag(Bool)
        case list([Value])
    }

    package struct Attribute: Hashable, Sendable {
        package var key: String
        package var value: Value
    }

    package struct Event: Sendable {
        package var name: String
        /// Nanoseconds since 1970.
        package var time: UInt64
        package var attributes: [Attribute]
    }

    package var context: TraceContext
    /// Nil for the first span of a trace.
    package var parent: SpanID?
    /// The parent is another process's.
    package var isParentRemote: Bool
    package var name: String
    package var kind: Kind
    /// Nanoseconds since 1970.
    package var start: UInt64
    package var end: UInt64
    package var attributes: [Attribute]
    package var links: [TraceContext]
    package var events: [Event]
    /// How many of each were beyond the bounds.
    package var dropped: (attributes: Int, links: Int, events: Int)
    /// Nil: nothing was said of it.
    package var hasFailed: Bool?
}

/// Takes spans that are over. Called where a request is served: implementations return quickly.
package protocol SpanSink: Sendable {
    func take(_ span: FinishedSpan)
}
