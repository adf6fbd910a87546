import Foundation

/// How a device syncs.
public struct SyncConfiguration: Sendable {
    /// Where the gateway is, such as `https://sync.example.com`.
    public var gateway: URL
    /// The schema of the business tables on the server.
    public var schema: String
    /// How conflicts are settled in tables that do not say otherwise.
    public var conflictPolicy: ConflictPolicy = .fieldwise()
    /// The most changes in one upload.
    public var uploadLimit = 200
    /// Bytes of row values in one upload after which no further row joins; a larger row goes by
    /// itself. Halved when the gateway finds a body too large.
    public var uploadBytes = 4 << 20
    /// Bytes of an upload from which on it is compressed, where the gateway takes gzip; nil: never.
    public var compressionThreshold: Int? = 8 << 10
    /// The most changes in one page, 1 to 1000.
    public var pageLimit = 1000
    /// Seconds between looks at the feed when the gateway does not hold requests.
    public var pollInterval = 30.0
    /// Whether to hold a stream open, while the loop runs, on which the gateway tells of news at
    /// once, where gateway and transport can. Where not, or while it is broken, `longPoll` applies.
    public var watch = true
    /// Seconds the gateway is asked to hold a request until there is news; nil polls instead.
    public var longPoll: Int? = 25
    /// Shortest and longest pause before a retry, in seconds. Actual times are drawn at random
    /// between zero and these.
    public var backoff: ClosedRange<Double> = 1...60
    /// Seconds with rows waiting and none getting through after which the status shows
    /// `noProgress`.
    public var watchdog = 120.0
    /// Most rows that are read ahead while a row's parent has not come yet.
    public var stagedRowLimit = 50_000
    /// What carries requests; on Linux with an authority of one's own: `AsyncHTTPTransport`.
    public var transport: any HTTPTransport = URLSessionTransport()
    /// What tells the time and sleeps; tests hold it still.
    public var clock: any SyncClock = SystemClock()
    /// Numbers from 0 to 1, for spreading retries.
    public var randomness: @Sendable () -> Double = { Double.random(in: 0...1) }

    /// - Parameters:
    ///   - gateway: where the gateway is; `sync/…` is appended to its path.
    ///   - schema: of the business tables on the server: lower-case ASCII letters, digits and `_`,
    ///     at most 63. Each
    ///     exchange fails with `400 invalid_request` for another name; an empty one means `public`.
    public init(gateway: URL, schema: String) {
        self.gateway = gateway
        self.schema = schema
    }
}
