import Foundation
import LibraryMetrics
import LogFields
import Logging
import NIOCore
import RPC
import ServiceLifecycle
import Telemetry
import UnixSignals

/// What every service process has: its name, configuration, log and metrics.
package struct ServiceProcess: Sendable {
    package let program: ServiceProgram
    package let configuration: Configuration
    package let logger: Logger
    package let metrics: MetricsRegistry
    /// Where the process's parts say what they can read again.
    package let reloadables: Reloadables

    package var name: String { program.name }

    /// Tells whether the checks that the service lists are met.
    package let readiness: Readiness

    /// Longest time from SIGTERM until the process ends, in seconds. Containers get 35 s before SIGKILL.
    package static let shutdownSeconds = 33
    /// Longest time that requests and calls in flight have of it. The rest is for what they used: pools, clients.
    package static let drainTimeout: Duration = .seconds(31)

    /// What the services of a process are: in starting order, and what makes them ready.
    package typealias Parts = (run: [any Service], ready: [ReadinessCheck])

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    ///
    /// A process that cannot run ends at once with one line in its log and an ``ExitCode``: it does not wait for the
    /// parts of it that could.
    ///
    /// - Parameters:
    ///   - exporters: builds what sends spans and metrics elsewhere. It ends after the services.
    ///   - services: builds what runs, in starting order. SIGTERM stops it in reverse.
    package static func run(
        _ program: ServiceProgram, exporters: (ServiceProcess) throws -> [any Service],
        _ services: (ServiceProcess) async throws -> Parts
    ) async {
        let configuration = Configuration()
        OpenFiles.raise()
        switch ProgramCommand(Array(CommandLine.arguments.dropFirst())) {
        case .serve: await serve(program, configuration, exporters, services)
        case .help: print(program.help, terminator: "")
        case .version: print(BuildInfo.line(program.name))
        case .check:
            let report = ConfigurationReport(program, configuration)
            print(report.text, terminator: "")
            exit(report.exitCode)
        case .health: exit(reportHealth(program, configuration))
        case .misuse(let reason):
            FileHandle.standardError.write(
                Data("\(program.name) \(reason); see \(program.name) --help\n".utf8))
            exit(ExitCode.misuse)
        }
    }

    private static func serve(
        _ program: ServiceProgram, _ configuration: Configuration,
        _ exporters: (ServiceProcess) throws -> [any Service],
        _ services: (ServiceProcess) async throws -> Parts
    ) async {
        signal(SIGPIPE, SIG_IGN)
        // From the start on: before there is anything to stop or to read again, each would end the process without
        // a word, or, for the first process of a container, do nothing.
        let signals = Signals(
            stop: await UnixSignalsSequence(trapping: .sigterm, .sigint),
            hangup: await UnixSignalsSequence(trapping: .sighup))
        ProcessMemory.keepFreed()
        let threshold = LogThreshold(
            (try? configuration.value(CommonSettings.logLevel)) ?? .info)
        let logger = Logger(label: program.name) { _ in
            JSONLogHandler(
                service: program.name, threshold: threshold,
                output: BatchedLogOutput.standardError)
        }
        let process = ServiceProcess(
            program: program, configuration: configuration, logger: logger,
            metrics: MetricsRegistry(), reloadables: Reloadables(),
            readiness: Readiness(logger: logger))
        process.reloadables.add([.logLevel(threshold, configuration)])
        ProcessMetrics.report(program.name, process.readiness, to: process.metrics)
        LibraryMetricsFactory.collect(into: process.metrics)
        LogSecret.process.use((try? configuration.optional(CommonSettings.logSecret)) ?? nil)
        defer { BatchedLogOutput.standardError.flush() }
        do {
            let problems = program.problems(in: configuration)
            if let first = problems.first {
                process.refuse(first, more: problems.count - 1)
            }
            for warning in program.warnings(in: configuration) {
                process.logger.warning("\(warning)")
            }
            let watch = try ParentWatch.start(configuration)
            defer { watch?.cancel() }
            let exporters = try exporters(process)
            let (run, ready) = try await services(process)
            try await process.run(exporters + run, ready, signals)
        } catch {
            process.end(because: error, in: program.name)
        }
    }

    private func run(
        _ services: [any Service], _ checks: [ReadinessCheck], _ signals: Signals
    ) async throws {
        readiness.probe(checks)
        let admin = AdminServer(
            host: try configuration.value(CommonSettings.adminHost),
            port: try configuration.value(CommonSettings.adminPort),
            metrics: metrics, readiness: readiness, logger: logger)
        let reloader = Reloader(
            reloadables: reloadables.all, hangups: signals.hangup, logger: logger)
        let limit = ShutdownLimit(seconds: Self.shutdownSeconds, logger: logger)
        var configuration = ServiceGroupConfiguration(
            // Shut down from the last to the first: nobody is to send anything to what is ending.
            services: ([admin, reloader, MemoryReturn()] + services + [readiness, limit]).map {
                .init(service: EssentialService(service: $0, process: self))
            }, logger: Self.quiet(logger))
        configuration.maximumGracefulShutdownDuration = .seconds(Self.shutdownSeconds - 1)
        logger.info(
            "starting",
            metadata: .fields([
                .processID: .stringConvertible(getpid()), .version: "\(BuildInfo.version)",
                .commit: "\(BuildInfo.commit)",
            ]))
        let group = ServiceGroup(configuration: configuration)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                for await _ in signals.stop {
                    Self.recordStop()
                    await group.triggerGracefulShutdown()
                }
            }
            try await group.run()
            tasks.cancelAll()
        }
        logger.info("stopped")
    }

    /// The signals that the process handles, as long as the value lives.
    private struct Signals: Sendable {
        let stop: UnixSignalsSequence
        let hangup: UnixSignalsSequence
    }

    /// The group's own lines about each service's coming and going are of interest to its developers only.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    private static func reportHealth(
        _ program: ServiceProgram, _ configuration: Configuration
    ) -> Int32 {
        do {
            let request = try HealthRequest(configuration)
            do {
                let answer = try request.perform()
                print(answer.text)
                return answer.status == 200 ? ExitCode.done : ExitCode.notReady
            } catch {
                print("\(program.name) at \(request.host):\(request.port): \(error.reason)")
                return ExitCode.notReady
            }
        } catch {
            print("\(program.name): \(error)")
            return ExitCode.configuration
        }
    }
}

extension Reloadable {
    fileprivate static func logLevel(
        _ threshold: LogThreshold, _ configuration: Configuration
    ) -> Reloadable {
        let setting = CommonSettings.logLevel
        return Reloadable("log level", files: [configuration.file(of: setting.key)]) {
            () throws(ConfigurationError) in
            let level = try configuration.value(setting)
            defer { threshold.level = level }
            return level != threshold.level
        }
    }
}
