import Foundation
import Logging

/// How a device syncs.
public struct SyncConfiguration: Sendable {
    /// The gateway's address, such as `https://sync.example.com`.
    public var gateway: URL
    /// The schema of the business tables on the server.
    public var schema: String
    /// How to resolve conflicts in tables that have no policy of their own. Defaults to
    /// ``ConflictPolicy/fieldwise(clash:deletion:)``.
    public var conflictPolicy: ConflictPolicy = .fieldwise()
    /// The maximum number of changes in one upload.
    public var uploadLimit = 200
    /// The target size of an upload's changes, in bytes before compression. A row larger than this
    /// is sent in an upload of its own. The engine halves the size when the gateway answers that a
    /// body is too large. Defaults to 4 MiB.
    public var uploadBytes = 4 << 20
    /// Uploads of at least this many bytes are compressed with gzip if the gateway accepts it; nil
    /// never compresses. Defaults to 8 KiB.
    public var compressionThreshold: Int? = 8 << 10
    /// The maximum number of changes in one page, from 1 to 1000.
    public var pageLimit = 1000
    /// Seconds between downloads when neither the watch stream nor long polling is available.
    public var pollInterval = 30.0
    /// Whether the background loop keeps a stream open on which the gateway announces new changes.
    /// If the gateway or the transport cannot stream, or while the stream is broken, `longPoll`
    /// applies.
    public var watch = true
    /// Seconds for which the gateway is asked to hold a download until there are new changes (long
    /// polling). With nil, the device polls every `pollInterval` seconds instead.
    public var longPoll: Int? = 25
    /// The shortest and longest delay before a retry, in seconds. The delay doubles with each
    /// failure. The actual delay is a random part of it, so that devices do not all come back at
    /// once.
    public var backoff: ClosedRange<Double> = 1...60
    /// Seconds after which the status shows `noProgress` if changes are pending and none is
    /// confirmed.
    public var watchdog = 120.0
    /// The maximum number of rows to keep in memory while the pages so far lack a row's parent.
    /// Beyond it, rows without a parent are held.
    public var stagedRowLimit = 50_000
    /// The app's log; nil logs nothing. Requests are logged at `debug` and `trace`, what needs
    /// attention from `notice` on. Nothing logged holds a token, a key or a value of a row, but
    /// for what a server's error message quotes.
    public var logger: Logger?
    /// Whether the device tells the server of itself, so that the people who run it find out why a
    /// device does not sync: the versions of library and app, how far it has read, how many rows
    /// are pending, rejected and held, the codes of its last error and notices, and its time; no
    /// values of rows. It does so in a header of less than 1 kB, with uploads and at most every
    /// five minutes with other requests. Defaults to true.
    public var reports = true
    /// The app's version, for ``reports``. Defaults to that of the main bundle; nil if it has none.
    public var appVersion =
        Bundle.main.infoDictionary?["CFBundleShortVersionString"] as? String
    /// The transport that carries requests. Defaults to `URLSessionTransport`. On Linux with a
    /// private certificate authority, use `AsyncHTTPTransport`.
    public var transport: any HTTPTransport = URLSessionTransport()
    /// The clock. Tests can replace it with one that they control.
    public var clock: any SyncClock = SystemClock()
    /// Returns random numbers from 0 to 1, which spread retries over time.
    public var randomness: @Sendable () -> Double = { Double.random(in: 0...1) }

    /// Makes a configuration with defaults for everything else.
    ///
    /// - Parameters:
    ///   - gateway: the gateway's address. The engine appends `sync/…` to its path.
    ///   - schema: the schema of the business tables on the server: 1 to 63 lower-case ASCII
    ///     letters, digits and `_`. With any other name, every exchange fails with `400
    ///     invalid_request`; an empty name means `public`.
    public init(gateway: URL, schema: String) {
        self.gateway = gateway
        self.schema = schema
    }
}
