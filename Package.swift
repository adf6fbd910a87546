// swift-tools-version: 6.2
import PackageDescription

/// Swift 6 mode, warnings are errors, explicit `any`, and every module imported where it is used.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// Traits keep an app that depends on `OverSQLite` from fetching what only the server needs. Each
/// condition names one trait: with several, Swift 6.2 requires all of them and 6.3 any of them.
extension Trait {
    /// The services, the tools and all tests: this repository is built with `--traits Server`.
    static let server = "Server"
    /// The product `OverSQLiteAsyncHTTP`.
    static let asyncHTTP = "AsyncHTTP"
}

extension Target.Dependency {
    static let grdb = product(name: "GRDB", package: "GRDB.swift")
    static let sqlite = product(name: "GRDBSQLite", package: "GRDB.swift")
    static let logging = product(name: "Logging", package: "swift-log")

    static let argumentParser = server("ArgumentParser", "swift-argument-parser")
    static let asn1 = server("SwiftASN1", "swift-asn1")
    static let asyncHTTPClient = server("AsyncHTTPClient", "async-http-client")
    static let coreMetrics = server("CoreMetrics", "swift-metrics")
    static let crypto = server("Crypto", "swift-crypto")
    static let cryptoExtras = server("CryptoExtras", "swift-crypto")
    static let histogram = server("Histogram", "hdrhistogram-swift")
    static let http2 = server("HummingbirdHTTP2", "hummingbird")
    static let httpTypes = server("HTTPTypes", "swift-http-types")
    static let hummingbird = server("Hummingbird", "hummingbird")
    static let hummingbirdCore = server("HummingbirdCore", "hummingbird")
    static let jwtKit = server("JWTKit", "jwt-kit")
    static let lifecycle = server("ServiceLifecycle", "swift-service-lifecycle")
    static let nioCore = server("NIOCore", "swift-nio")
    static let nioEmbedded = server("NIOEmbedded", "swift-nio")
    static let nioHTTP1 = server("NIOHTTP1", "swift-nio")
    static let nioHTTP2 = server("NIOHTTP2", "swift-nio-http2")
    static let nioHTTPTypes = server("NIOHTTPTypes", "swift-nio-extras")
    static let nioHTTPTypesHTTP1 = server("NIOHTTPTypesHTTP1", "swift-nio-extras")
    static let nioPosix = server("NIOPosix", "swift-nio")
    static let nioSSL = server("NIOSSL", "swift-nio-ssl")
    static let nioTLS = server("NIOTLS", "swift-nio")
    static let protobuf = server("SwiftProtobuf", "swift-protobuf")
    static let signals = server("UnixSignals", "swift-service-lifecycle")
    static let subprocess = server("Subprocess", "swift-subprocess")
    static let system = server("SystemPackage", "swift-system")
    static let tracing = server("Tracing", "swift-distributed-tracing")
    static let x509 = server("X509", "swift-certificates")
    static let yams = server("Yams", "Yams")

    private static func server(_ name: String, _ package: String) -> Self {
        product(name: name, package: package, condition: .when(traits: [Trait.server]))
    }

    /// A product that `OverSQLiteAsyncHTTP` needs.
    static func asyncHTTP(_ name: String, _ package: String) -> Self {
        product(name: name, package: package, condition: .when(traits: [Trait.asyncHTTP]))
    }
}

/// A module shared by services, tools and tests.
func shared(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [],
    resources: [Resource]? = nil
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Shared/\(name)", exclude: exclude,
        resources: resources, swiftSettings: settings)
}

/// A service: a library with everything in it and an executable of a few lines.
func service(
    _ folder: String, library: String, executable: String, _ dependencies: [Target.Dependency],
    resources: [Resource]? = nil
) -> [Target] {
    [
        .target(
            name: library, dependencies: dependencies, path: "Services/\(folder)",
            exclude: ["Executable"], resources: resources, swiftSettings: settings),
        .executableTarget(
            name: executable, dependencies: [.byName(name: library)],
            path: "Services/\(folder)/Executable",
            swiftSettings: settings),
    ]
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude,
        swiftSettings: settings)
}

let sharedTargets: [Target] = [
    .systemLibrary(
        name: "CLibPQ", path: "Shared/CLibPQ", pkgConfig: "libpq",
        providers: [.apt(["libpq-dev"])]),
    .systemLibrary(
        name: "CZlib", path: "Shared/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CAllocator", path: "Shared/CAllocator"),
    shared("Compression", ["CZlib", .nioCore]),
    shared("LogFields", [.logging]),
    // Numbers that are the same in every run of one seed: for checks by chance, in tools and tests.
    shared("SeededRandom", []),
    // What proves that a device and the server hold the same rows.
    shared("Digests", []),
    shared("WireJSON", []),
    shared("Model", []),
    shared("Waiting", ["Model"]),
    shared("Telemetry", ["WireJSON", .crypto, .logging]),
    // What libraries measure, in our registry.
    shared("LibraryMetrics", ["Telemetry", .coreMetrics]),
    // Spans of requests, and where they are within a trace.
    shared("Traces", [.tracing]),
    shared("Protos", [.protobuf], exclude: ["Definitions"]),
    shared(
        "RPC",
        [
            "LogFields", "Protos", "Traces", "Waiting", .lifecycle, .logging, .nioCore, .nioPosix,
            .protobuf,
        ]),
    shared(
        "ServiceKit",
        [
            "CAllocator", "LibraryMetrics", "LogFields", "Model", "Protos", "RPC", "Telemetry",
            "Traces", "Waiting", "WireJSON", .hummingbird, .httpTypes,
            .lifecycle, .logging, .nioCore, .nioPosix, .signals,
        ]),
    // Sends spans and metrics to a collector. Not part of `ServiceKit`: `oversync` sends nothing.
    shared(
        "OTLP",
        [
            "LogFields", "Protos", "ServiceKit", "Telemetry", "Traces", "Waiting",
            .asyncHTTPClient, .lifecycle, .logging, .nioCore, .nioHTTP1, .nioSSL, .protobuf,
        ]),
    shared("Postgres", ["CLibPQ", "LogFields", "Traces", "Waiting", .lifecycle, .logging]),
    shared("Tokens", [.crypto, .jwtKit]),
    // The keys that sign tokens, for Auth and for `oversync keys`.
    shared("SigningKeys", ["Postgres", "Sidecar", "WireJSON", .crypto]),
    shared(
        "DatabaseKit",
        [
            "LogFields", "Model", "Postgres", "Protos", "RPC", "ServiceKit", "Sidecar", "Telemetry",
            .lifecycle, .logging,
        ]),
    shared(
        "Sidecar",
        ["LogFields", "Model", "Postgres", "WireJSON", .crypto, .lifecycle, .logging, .yams],
        exclude: ["schema.sql"],
        resources: [
            .embedInCode("Migrations/0001_sidecar.sql"), .embedInCode("Migrations/0002_auth.sql"),
            .embedInCode("Migrations/0003_capture.sql"), .embedInCode("Migrations/0004_access.sql"),
            .embedInCode("Migrations/0005_compaction.sql"),
            .embedInCode("Migrations/0006_columns.sql"),
            .embedInCode("Migrations/0007_refusals.sql"),
            .embedInCode("Migrations/0008_unseen_columns.sql"),
            .embedInCode("Migrations/0009_capture_plans.sql"),
            .embedInCode("Migrations/0010_roles.sql"),
            .embedInCode("Migrations/0011_views_and_columns.sql"),
            .embedInCode("Migrations/0012_policies_and_histories.sql"),
            .embedInCode("Migrations/0013_rights_and_records.sql"),
            .embedInCode("Migrations/0014_upkeep.sql"),
            .embedInCode("Migrations/0015_device_reports.sql"),
            .embedInCode("Migrations/0016_health.sql"),
            .embedInCode("Migrations/0017_integer_keys.sql"),
            .embedInCode("Migrations/0018_key_leases.sql"),
        ]),
]

let serviceTargets: [Target] =
    service(
        "Upload", library: "UploadService", executable: "oversync-upload",
        [
            "DatabaseKit", "LogFields", "Model", "OTLP", "Postgres", "Protos", "RPC", "ServiceKit",
            "Sidecar", "Telemetry", "Traces", "Waiting", "WireJSON",
            .crypto, .lifecycle, .logging, .nioCore, .protobuf,
        ])
    + service(
        "Download", library: "DownloadService", executable: "oversync-download",
        [
            "DatabaseKit", "Digests", "LogFields", "Model", "OTLP", "Postgres", "Protos", "RPC",
            "ServiceKit", "Sidecar", "Telemetry", "Traces", "Waiting", "WireJSON",
            .lifecycle, .logging, .nioCore, .protobuf,
        ])
    + service(
        "Auth", library: "AuthService", executable: "oversync-auth",
        [
            "DatabaseKit", "LogFields", "Model", "OTLP", "Postgres", "Protos", "RPC", "ServiceKit",
            "Sidecar", "SigningKeys", "Telemetry", "Tokens", "Waiting", "WireJSON", .crypto,
            .jwtKit, .lifecycle, .logging, .nioCore, .yams,
        ])
    + service(
        "Gateway", library: "Gateway", executable: "oversync-gateway",
        [
            "Compression", "Digests", "LogFields", "Model", "OTLP", "Protos", "RPC", "ServiceKit",
            "Telemetry", "Tokens", "Traces", "Waiting", "WireJSON", .asn1, .asyncHTTPClient,
            .crypto, .http2,
            .httpTypes,
            .hummingbird, .hummingbirdCore, .jwtKit, .lifecycle, .logging, .nioCore, .nioHTTP1,
            .nioHTTP2, .nioHTTPTypes, .nioHTTPTypesHTTP1, .nioPosix, .nioSSL, .nioTLS, .x509,
            .yams,
        ],
        resources: [
            .embedInCode("Resources/openapi.yaml"), .embedInCode("Resources/console.html"),
            .embedInCode("Resources/console.css"), .embedInCode("Resources/console.js"),
            .embedInCode("Resources/kit.js"), .embedInCode("Resources/pages.js"),
        ])

let clientTargets: [Target] = [
    .target(
        name: "OverSQLite",
        dependencies: ["CZlib", "Digests", "WireJSON", .grdb, .logging, .sqlite],
        path: "Client/OverSQLite", swiftSettings: settings),
    .target(
        name: "OverSQLiteTestSupport", dependencies: ["Digests", "OverSQLite", "WireJSON", .grdb],
        path: "Client/OverSQLiteTestSupport", swiftSettings: settings),
    .target(
        name: "OverSQLiteAsyncHTTP",
        dependencies: [
            "OverSQLite", .asyncHTTP("AsyncHTTPClient", "async-http-client"),
            .asyncHTTP("NIOCore", "swift-nio"), .asyncHTTP("NIOHTTP1", "swift-nio"),
            .asyncHTTP("NIOSSL", "swift-nio-ssl"),
        ],
        path: "Client/OverSQLiteAsyncHTTP", swiftSettings: settings),
]

let toolTargets: [Target] = [
    // What both tools have. Through it `oversync` must not reach SQLite, tests, the benchmark or a
    // development stack.
    .target(
        name: "OperatorKit",
        dependencies: ["Postgres", .argumentParser, .logging],
        path: "Tools/OperatorKit", swiftSettings: settings),
    // How tools and tests run programs.
    .target(
        name: "Programs", dependencies: [.subprocess, .system], path: "Shared/Programs",
        swiftSettings: settings),
    .target(name: "LocalPostgres", path: "Shared/LocalPostgres", swiftSettings: settings),
    .target(
        name: "DevStack",
        dependencies: [
            "LocalPostgres", "OperatorKit", "Postgres", "Programs", "Sidecar", "Waiting", .asn1,
            .asyncHTTPClient, .crypto, .lifecycle, .logging, .nioCore, .nioHTTP1, .nioSSL, .signals,
            .x509,
        ],
        path: "Tools/DevStack", swiftSettings: settings),
    // How commands reach any running stack through HTTPS.
    .target(
        name: "GatewayAccess",
        dependencies: [
            "OperatorKit", "ServiceKit", "Tokens", .asyncHTTPClient, .nioCore, .nioHTTP1, .nioPosix,
            .nioSSL,
        ],
        path: "Tools/GatewayAccess", swiftSettings: settings),
    .target(
        name: "Demo",
        dependencies: [
            "DevStack", "GatewayAccess", "OperatorKit", "OverSQLite", "OverSQLiteAsyncHTTP",
            "Postgres", .asyncHTTPClient, .crypto, .grdb,
        ],
        path: "Tools/Demo",
        resources: [
            .embedInCode("Resources/business.sql"), .embedInCode("Resources/device.sql"),
            .embedInCode("Resources/oversync.yaml"),
        ],
        swiftSettings: settings),
    // An example of an app: notes and tasks that several people share.
    .target(
        name: "Notes",
        dependencies: [
            "DevStack", "OperatorKit", "OverSQLite", "OverSQLiteAsyncHTTP", .grdb, .signals,
        ],
        path: "Tools/Notes",
        resources: [
            .embedInCode("Resources/business.sql"), .embedInCode("Resources/device.sql"),
            .embedInCode("Resources/oversync.yaml"),
        ],
        swiftSettings: settings),
    .target(
        name: "Bench",
        dependencies: [
            "Compression", "DevStack", "GatewayAccess", "LocalPostgres", "OperatorKit",
            "OverSQLite", "OverSQLiteAsyncHTTP", "Postgres", "Sidecar", "Tokens",
            .asyncHTTPClient, .grdb, .histogram, .logging, .nioCore, .nioHTTP1, .nioPosix, .nioSSL,
            .sqlite,
        ],
        path: "Tools/Bench",
        swiftSettings: settings),
    .target(
        name: "GapCheck",
        dependencies: [
            "DevStack", "Model", "OperatorKit", "OverSQLite", "OverSQLiteAsyncHTTP", "Postgres",
            "SeededRandom", "Sidecar", "Tokens", "Waiting", "WireJSON", .asyncHTTPClient, .grdb,
            .nioCore, .nioHTTP1,
        ],
        path: "Tools/GapCheck",
        resources: [
            .embedInCode("Resources/gap.sql"), .embedInCode("Resources/oversync.yaml"),
        ],
        swiftSettings: settings),
    // Devices that keep at it while a stack is disturbed, and what must then be in its logs.
    .target(
        name: "Load",
        dependencies: [
            "GapCheck", "GatewayAccess", "OperatorKit", "Waiting", .asyncHTTPClient, .nioCore,
            .nioHTTP1,
        ],
        path: "Tools/Load", swiftSettings: settings),
    // Restores a stack's database to earlier moments, and sees what the devices make of it.
    .target(
        name: "RestoreDrill",
        dependencies: [
            "DevStack", "GatewayAccess", "LocalPostgres", "OperatorKit", "OverSQLite",
            "OverSQLiteAsyncHTTP", "Postgres", "SeededRandom", "Sidecar", .grdb,
        ],
        path: "Tools/RestoreDrill", swiftSettings: settings),
    // Devices on a rough network before a stack whose processes are killed.
    .target(
        name: "Soak",
        dependencies: [
            "Bench", "DevStack", "GatewayAccess", "LocalPostgres", "OperatorKit", "OverSQLite",
            "OverSQLiteAsyncHTTP", "Postgres", "SeededRandom", "Sidecar", .grdb, .nioCore,
            .nioPosix,
        ],
        path: "Tools/Soak", swiftSettings: settings),
    .executableTarget(
        name: "oversync",
        dependencies: [
            "Model", "OperatorKit", "Postgres", "Protos", "RPC", "ServiceKit", "Sidecar",
            "SigningKeys", "Telemetry", "Tokens", "WireJSON", .argumentParser, .logging, .nioCore,
        ],
        path: "Tools/oversync", swiftSettings: settings),
    .executableTarget(
        name: "oversync-dev",
        dependencies: [
            "Bench", "Demo", "DevStack", "GapCheck", "GatewayAccess", "Load", "LocalPostgres",
            "Model", "Notes", "OperatorKit", "RestoreDrill", "ServiceKit", "Soak", .argumentParser,
            .lifecycle, .logging, .signals,
        ],
        path: "Tools/oversync-dev", swiftSettings: settings),
]

let fuzzedModules: [Target.Dependency] = [
    "Compression", "DownloadService", "Gateway", "Model", "OverSQLite", "OverSQLiteTestSupport",
    "Protos", "RPC", "Sidecar", "Traces", "UploadService", "WireJSON", .crypto, .grdb,
    .hummingbirdCore,
    .jwtKit, .logging, .nioCore, .protobuf,
]

/// `make fuzz` builds the entries of `FuzzUnitTests` into a program with a fuzzer, and no tests:
/// they read the internals of modules, so they must not be part of builds for release.
let isFuzzing = Context.environment["BUILD_FUZZER"] != nil
let fuzzer = Target.executableTarget(
    name: "oversync-fuzz", dependencies: fuzzedModules, path: "Tests/FuzzUnitTests",
    exclude: ["Corpus"], sources: ["Driver", "Entries"], swiftSettings: settings,
    // gold fails on what a sanitizer adds.
    linkerSettings: [.unsafeFlags(["-use-ld=lld"])])

let testTargets: [Target] = [
    // The protos as protobuf-c reads and writes them: an implementation independent of ours.
    .target(
        name: "ProtobufC", path: "Tests/ProtobufC", linkerSettings: [.linkedLibrary("protobuf-c")]),
    // A process for tests to freeze and kill.
    .executableTarget(
        name: "rpc-test-replica",
        dependencies: ["Protos", "RPC", .lifecycle, .logging, .nioCore, .signals],
        path: "Tests/RPCTestReplica", swiftSettings: settings),
    .target(
        name: "TestSupport", dependencies: ["LocalPostgres", "Postgres", .logging],
        path: "Shared/TestSupport",
        swiftSettings: settings),
    // What the server must do, and histories to compare it with.
    .target(
        name: "ServerModel", dependencies: ["SeededRandom"], path: "Tests/ServerModel",
        swiftSettings: settings),
    // What every gateway does in the same way; run against the one in memory and the real stack.
    .target(
        name: "GatewayConformance", dependencies: ["Digests", "OverSQLite"],
        path: "Tests/GatewayConformance", swiftSettings: settings),
    // Docs/metrics.md, and the alerts and dashboards of Deploy/observability.
    .target(
        name: "ObservabilityFiles", dependencies: [.yams], path: "Tests/ObservabilityFiles",
        swiftSettings: settings),
    // Keys of issuers, and tokens that they sign.
    .target(
        name: "TestTokens", dependencies: [.crypto, .cryptoExtras], path: "Tests/TestTokens",
        swiftSettings: settings),
    // What `openapi.yaml` says of answers.
    .target(
        name: "APIDescription", dependencies: [.yams], path: "Tests/APIDescription",
        swiftSettings: settings),
    // A collector of spans and metrics.
    .target(
        name: "TestCollector",
        dependencies: ["Protos", .nioCore, .nioHTTP1, .nioPosix, .nioSSL, .protobuf],
        path: "Tests/TestCollector", swiftSettings: settings),
    // A device's working day, and a process that lives it until it is killed.
    .target(
        name: "DeviceScript", dependencies: ["SeededRandom", .grdb], path: "Tests/DeviceScript",
        swiftSettings: settings),
    .executableTarget(
        name: "device-chaos",
        dependencies: [
            "DeviceScript", "OverSQLite", "OverSQLiteAsyncHTTP", "OverSQLiteTestSupport",
            .asyncHTTPClient, .grdb,
        ],
        path: "Tests/DeviceChaos", swiftSettings: settings),
    tests(
        "DeviceIntegrationTests",
        [
            "DeviceScript", "OverSQLite", "OverSQLiteAsyncHTTP", "OverSQLiteTestSupport",
            "SeededRandom", "WireJSON", "device-chaos", .asyncHTTPClient, .grdb, .httpTypes,
            .hummingbird, .logging, .nioCore,
        ]),
    tests(
        "DocsUnitTests",
        [
            "APIDescription", "AuthService", "DownloadService", "Gateway", "ObservabilityFiles",
            "ServiceKit", "Sidecar", "UploadService", .yams,
        ]),
    tests("DigestsUnitTests", ["Digests", "SeededRandom", .crypto]),
    tests("WaitingUnitTests", ["Model", "SeededRandom", "Waiting"]),
    tests("WireJSONUnitTests", ["SeededRandom", "WireJSON"]),
    tests("ProtosUnitTests", ["ProtobufC", "Protos", .protobuf]),
    tests(
        "ReadinessUnitTests",
        ["DatabaseKit", "Gateway", "Postgres", "RPC", "ServiceKit", .lifecycle, .logging]),
    tests("RPCUnitTests", ["Protos", "RPC", "SeededRandom", .nioCore]),
    tests(
        "RPCIntegrationTests",
        [
            "Programs", "Protos", "RPC", "Traces", "rpc-test-replica", .lifecycle, .logging,
            .nioCore, .nioPosix, .protobuf,
        ]),
    tests("PostgresUnitTests", ["CLibPQ", "Postgres", "SeededRandom", "Waiting"]),
    tests(
        "PostgresIntegrationTests",
        [
            "LocalPostgres", "Postgres", "Programs", "TestSupport", "Traces", .lifecycle, .logging,
            .tracing,
        ]),
    tests("LibraryMetricsUnitTests", ["LibraryMetrics", "Telemetry", .coreMetrics]),
    tests("TracesUnitTests", ["Traces", .tracing]),
    tests(
        "OTLPIntegrationTests",
        [
            "DevStack", "OTLP", "ProtobufC", "Protos", "ServiceKit", "Telemetry", "TestCollector",
            "Traces", .lifecycle, .logging, .nioHTTP1,
        ]),
    tests(
        "GatewayUnitTests",
        [
            "Gateway", "Model", "Protos", "RPC", "ServiceKit", "Telemetry", "TestTokens", "Waiting",
            .crypto, .httpTypes, .hummingbird, .hummingbirdCore, .jwtKit, .logging, .nioCore,
            .nioEmbedded,
            .nioHTTP2, .nioHTTPTypes, .nioPosix,
        ]),
    tests(
        "GatewayIntegrationTests",
        [
            "Compression", "Gateway", "Model", "Protos", "RPC", "ServiceKit", "Telemetry",
            "TestTokens", "Tokens", "Traces", "Waiting", .asn1, .asyncHTTPClient, .crypto,
            .httpTypes, .yams,
            .jwtKit, .lifecycle, .logging, .nioCore, .nioHTTP1, .nioPosix, .nioSSL, .protobuf,
            .x509,
        ]),
    tests(
        "ServiceKitUnitTests", ["Model", "RPC", "ServiceKit", "Telemetry", "Waiting", .logging]),
    tests("TelemetryUnitTests", ["Telemetry", .logging]),
    // Programs as an operator runs them: with mistakes, signals and files that change.
    tests(
        "ServiceProcessIntegrationTests",
        [
            "DevStack", "LocalPostgres", "Postgres", "Programs", "Sidecar", "TestSupport",
            "TestTokens",
            "Tokens", .asn1, .asyncHTTPClient, .crypto, .logging, .nioCore, .nioHTTP1, .nioPosix,
            .nioSSL, .x509,
            "oversync-auth", "oversync-download", "oversync-gateway", "oversync-upload",
        ]),
    tests("TokensUnitTests", ["Tokens", .crypto]),
    tests(
        "DownloadUnitTests",
        ["DatabaseKit", "DownloadService", "Model", "Postgres", "Protos", "RPC", "Sidecar"]),
    tests(
        "UploadUnitTests",
        ["Model", "Postgres", "SeededRandom", "ServerModel", "Sidecar", "UploadService", .nioCore]),
    tests(
        "AuthIntegrationTests",
        [
            "AuthService", "Postgres", "Protos", "RPC", "ServiceKit", "Sidecar", "SigningKeys",
            "TestSupport", "Tokens", .crypto, .jwtKit, .logging,
        ]),
    tests("SidecarUnitTests", ["Model", "SeededRandom", "Sidecar", "WireJSON"]),
    tests(
        "SidecarIntegrationTests",
        ["LocalPostgres", "Model", "Postgres", "Sidecar", "TestSupport", "WireJSON", .logging]),
    tests(
        "SyncIntegrationTests",
        [
            "AuthService", "DatabaseKit", "Digests", "DownloadService", "LocalPostgres", "Model",
            "ObservabilityFiles", "Postgres", "Programs", "Protos", "RPC", "SeededRandom",
            "ServerModel", "ServiceKit",
            "Sidecar", "SigningKeys", "Telemetry", "TestSupport", "Traces",
            "UploadService", "WireJSON", .lifecycle, .logging, .nioCore, .nioPosix, .protobuf,
            .tracing,
        ], exclude: ["Golden"]),
    // What reads bytes that nobody vouches for: with a corpus here, by fuzzers in `make fuzz`.
    tests("FuzzUnitTests", ["SeededRandom"] + fuzzedModules, exclude: ["Corpus", "Driver"]),
    // Rules that every file keeps, and lists of those that do not yet.
    tests("TidyTests", [], exclude: ["Recorded", "forbidden-phrases.txt"]),
    // What an app fetches that depends on this package.
    tests("ConsumerIntegrationTests", ["Programs"]),
    tests("GapCheckUnitTests", ["GapCheck", .nioCore]),
    tests("BenchUnitTests", ["Bench", "OperatorKit", "Tokens", .nioCore]),
    tests(
        "ToolsUnitTests",
        [
            "Demo", "Load", "Model", "ObservabilityFiles", "OverSQLite", "SeededRandom", "Sidecar",
            "Soak", "TestSupport", "oversync", "oversync-dev", .argumentParser,
        ]),
    // The code of the library's documentation, which DocsUnitTests compares with the articles.
    tests(
        "OverSQLiteDocsUnitTests",
        ["OverSQLite", "OverSQLiteAsyncHTTP", "OverSQLiteTestSupport", .grdb]),
    tests("NotesUnitTests", ["Notes", "OverSQLite"]),
    tests("CompressionUnitTests", ["Compression", "SeededRandom", .nioCore]),
    tests(
        "OverSQLiteUnitTests",
        [
            "GatewayConformance", "OverSQLite", "OverSQLiteTestSupport", "SeededRandom",
            "TestSupport", "WireJSON", .grdb, .logging, .sqlite,
        ], exclude: ["Golden"]),
    tests(
        "EndToEndTests",
        [
            "APIDescription", "Bench", "Demo", "DevStack", "DeviceScript", "Digests", "GapCheck",
            "GatewayAccess",
            "GatewayConformance", "Load", "LocalPostgres", "Model", "Notes", "OperatorKit",
            "OverSQLite", "ObservabilityFiles", "OverSQLiteAsyncHTTP", "OverSQLiteTestSupport",
            "Postgres",
            "Programs", "RestoreDrill", "SeededRandom", "ServerModel", "ServiceKit", "Sidecar",
            "Protos", "SigningKeys", "Soak", "TestCollector", "TestSupport",
            "TestTokens", "Tokens", "device-chaos", "oversync", "oversync-auth", "oversync-dev",
            "oversync-download",
            "oversync-gateway",
            "oversync-upload", .asyncHTTPClient, .grdb, .logging, .nioCore, .nioHTTP1, .nioPosix,
            .nioSSL,
        ]),
]

let package = Package(
    name: "oversync",
    // The first versions with the `Synchronization` module. The server runs on Linux and macOS.
    platforms: [
        .macOS(.v15), .iOS(.v18), .macCatalyst(.v18), .tvOS(.v18), .watchOS(.v11), .visionOS(.v2),
    ],
    products: [
        .library(name: "OverSQLite", targets: ["OverSQLite"]),
        .library(name: "OverSQLiteAsyncHTTP", targets: ["OverSQLiteAsyncHTTP"]),
        .library(name: "OverSQLiteTestSupport", targets: ["OverSQLiteTestSupport"]),
    ],
    traits: [
        .default(enabledTraits: []),
        .trait(
            name: Trait.asyncHTTP,
            description: "OverSQLiteAsyncHTTP: a transport for Linux and private authorities."),
        .trait(
            name: Trait.server,
            description: "Services, tools and tests. This repository is built with it.",
            enabledTraits: [Trait.asyncHTTP]),
    ],
    targets: sharedTargets + serviceTargets + clientTargets
        + (isFuzzing ? [fuzzer] : toolTargets + testTargets)
)

package.dependencies = [
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.3"),
    .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.2"),
    .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-system.git", from: "1.8.1"),
    .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
    .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2"),
    .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.1"),
]
