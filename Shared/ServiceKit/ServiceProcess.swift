import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import Telemetry
import UnixSignals

/// What every service process has: its name, configuration, log and metrics.
package struct ServiceProcess: Sendable {
    package let name: String
    package let configuration: Configuration
    package let logger: Logger
    package let metrics: MetricsRegistry

    /// Longest time from SIGTERM until the process ends, in seconds: what is in flight finishes before it.
    package static let shutdownSeconds = 25

    /// Runs a service until a signal ends it.
    ///
    /// - Parameter services: builds what runs, in starting order; on SIGTERM they are told in reverse order.
    /// - Returns: never with a wrong configuration: that ends the process with status 78 and one clear line.
    package static func run(
        _ name: String,
        _ services: (ServiceProcess) async throws -> (run: [any Service], ready: [ReadinessCheck])
    ) async throws {
        signal(SIGPIPE, SIG_IGN)
        ProcessMemory.keepFreed()
        do {
            let configuration = Configuration()
            let level = try CommonSettings.level(configuration)
            let logger = Logger(label: name) { _ in JSONLogHandler(service: name, level: level) }
            let process = ServiceProcess(
                name: name, configuration: configuration, logger: logger, metrics: MetricsRegistry()
            )
            let watch = try ParentWatch.start(configuration)
            defer { watch?.cancel() }
            let (run, ready) = try await services(process)
            try await process.run(run, ready)
        } catch let error as ConfigurationError {
            refuse(name, error)
        } catch let error as IOError
            where [EADDRINUSE, EADDRNOTAVAIL, EACCES].contains(error.errnoCode)
        {
            StandardErrorOutput().write(
                Array(
                    "\(name): wrong configuration: the address to listen on cannot be used: \(error)\n"
                        .utf8))
            exit(EX_CONFIG)
        }
    }

    /// Ends the process with one clear line.
    fileprivate static func refuse(_ name: String, _ error: ConfigurationError) -> Never {
        StandardErrorOutput().write(Array("\(name): wrong configuration: \(error)\n".utf8))
        exit(EX_CONFIG)
    }

    private func run(_ services: [any Service], _ readiness: [ReadinessCheck]) async throws {
        let admin = AdminServer(
            host: try configuration.value(CommonSettings.adminHost),
            port: try configuration.value(CommonSettings.adminPort),
            metrics: metrics, readiness: readiness, logger: logger)
        var group = ServiceGroupConfiguration(
            services: ([admin] + services).map {
                .init(service: RefusingConfiguration(service: $0, name: name))
            },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: Self.quiet(logger))
        group.maximumGracefulShutdownDuration = .seconds(Self.shutdownSeconds)
        logger.info("starting", metadata: ["pid": .stringConvertible(getpid())])
        try await ServiceGroup(configuration: group).run()
        logger.info("stopped")
    }

    /// The group's own lines about each service's coming and going are of interest to its developers only.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }
}

/// Ends the process as soon as one of its services finds that its configuration cannot be used: nothing is served yet,
/// and others that wait for a database would not hear of it for long.
private struct RefusingConfiguration: Service {
    let service: any Service
    let name: String

    func run() async throws {
        do {
            try await service.run()
        } catch let error as ConfigurationError {
            ServiceProcess.refuse(name, error)
        }
    }
}
