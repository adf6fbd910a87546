import Foundation
import Traces

/// OpenTelemetry's standard variables: where spans and metrics are sent, and which.
package struct ExportSettings: Sendable {
    package static let endpoint = url(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "address of the collector that gets traces and metrics, without /v1/traces and /v1/metrics")
    package static let tracesEndpoint = url(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "whole address for traces, instead of the other one")
    package static let metricsEndpoint = url(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "whole address for metrics, instead of the other one")
    package static let headers = Setting<[NamedText]>(
        "OTEL_EXPORTER_OTLP_HEADERS", "header fields for the collector, such as its key",
        isSecret: true, allowed: "name=value,…", fallback: nil
    ) { text throws(SettingProblem) in
        try NamedText.list(in: text, isName: NamedText.isFieldName)
    }
    package static let timeout = Setting.integer(
        "OTEL_EXPORTER_OTLP_TIMEOUT", "longest time of one request to the collector",
        default: 10_000, in: 10...600_000, unit: "ms")
    package static let protocolName = Setting<String>(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "how the collector is spoken to", allowed: onlyProtocol,
        fallback: onlyProtocol
    ) { text throws(SettingProblem) in
        guard text == onlyProtocol else {
            throw SettingProblem("must be \(onlyProtocol), not \(text.debugDescription)")
        }
        return text
    }
    package static let certificate = Setting.text(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "path of the authorities that the collector's certificate is checked with (PEM)")
    package static let serviceName = Setting.text(
        "OTEL_SERVICE_NAME", "service.name of traces and metrics; unset: the program's name")
    package static let resource = Setting<[NamedText]>(
        "OTEL_RESOURCE_ATTRIBUTES", "what else traces and metrics say of their process",
        allowed: "name=value,…", fallback: nil
    ) { text throws(SettingProblem) in
        try NamedText.list(in: text, isName: { !$0.isEmpty })
    }
    package static let sampler = Setting<String>(
        "OTEL_TRACES_SAMPLER", "which requests are traced", allowed: samplers,
        fallback: "parentbased_always_on"
    ) { text throws(SettingProblem) in
        guard TraceSampler.names.contains(text) else {
            throw SettingProblem("must be one of \(samplers), not \(text.debugDescription)")
        }
        return text
    }
    package static let samplerArgument = Setting<Double>(
        "OTEL_TRACES_SAMPLER_ARG", "share of the traces, where the sampler's name ends in ratio",
        allowed: "0 to 1", fallback: 1
    ) { text throws(SettingProblem) in
        guard let share = Double(text), (0...1).contains(share) else {
            throw SettingProblem("must be a number from 0 to 1, not \(text.debugDescription)")
        }
        return share
    }
    package static let metricInterval = Setting.integer(
        "OTEL_METRIC_EXPORT_INTERVAL", "time from one sending of all metrics to the next",
        default: 60_000, in: 100...3_600_000, unit: "ms")
    package static let isDisabled = Setting.flag(
        "OTEL_SDK_DISABLED", "nothing is sent, whatever else is set")
    package static let delay = Setting.integer(
        "OTEL_BSP_SCHEDULE_DELAY", "longest time that a finished span waits to be sent",
        default: 5000, in: 10...600_000, unit: "ms")
    package static let patience = Setting.integer(
        "OTEL_BSP_EXPORT_TIMEOUT",
        "how long spans are sent again and again to a collector that does not take them",
        default: 30_000, in: 10...600_000, unit: "ms")
    package static let queueSize = Setting.integer(
        "OTEL_BSP_MAX_QUEUE_SIZE", "finished spans that wait at most; more are lost, and counted",
        default: 2048, in: 1...65_536, unit: "spans")
    package static let batchSize = Setting.integer(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans of one request", default: 512, in: 1...8192,
        unit: "spans")

    /// What every service reads of them.
    package static let all: [any DescribedSetting] = [
        endpoint, tracesEndpoint, metricsEndpoint, headers, timeout, protocolName, certificate,
        serviceName, resource, sampler, samplerArgument, metricInterval, isDisabled, delay,
        patience, queueSize, batchSize,
    ]

    private static let onlyProtocol = "http/protobuf"
    private static let samplers = TraceSampler.names.joined(separator: ", ")

    /// Nil: they are not sent.
    package let traces: String?
    package let metrics: String?
    package let fields: [NamedText]
    package let requestTime: Duration
    /// A file of authorities; nil: those of the system.
    package let authorities: String?
    /// What spans and metrics say of their process.
    package let process: [NamedText]
    package let traceSampler: TraceSampler
    package let metricsEvery: Duration
    package let longestWait: Duration
    package let longestTrouble: Duration
    package let waiting: Int
    package let batch: Int

    /// - Parameter program: names the process, where no setting does.
    package init(_ configuration: Configuration, program: String) throws(ConfigurationError) {
        let base = try configuration.optional(Self.endpoint).map { url in
            url.hasSuffix("/") ? String(url.dropLast()) : url
        }
        let isOff = try configuration.value(Self.isDisabled)
        let traces =
            try configuration.optional(Self.tracesEndpoint) ?? base.map { $0 + "/v1/traces" }
        let metrics =
            try configuration.optional(Self.metricsEndpoint) ?? base.map { $0 + "/v1/metrics" }
        self.traces = isOff ? nil : traces
        self.metrics = isOff ? nil : metrics
        _ = try configuration.value(Self.protocolName)
        fields = try configuration.optional(Self.headers) ?? []
        requestTime = .milliseconds(try configuration.value(Self.timeout))
        authorities = try configuration.optional(Self.certificate)
        process = try Self.description(of: program, configuration)
        guard
            let sampler = TraceSampler(
                named: try configuration.value(Self.sampler),
                share: try configuration.value(Self.samplerArgument))
        else { throw ConfigurationError(key: Self.sampler.key, reason: "is not a sampler") }
        traceSampler = sampler
        metricsEvery = .milliseconds(try configuration.value(Self.metricInterval))
        longestWait = .milliseconds(try configuration.value(Self.delay))
        longestTrouble = .milliseconds(try configuration.value(Self.patience))
        waiting = try configuration.value(Self.queueSize)
        batch = min(try configuration.value(Self.batchSize), waiting)
    }

    private static func description(
        of program: String, _ configuration: Configuration
    ) throws(ConfigurationError) -> [NamedText] {
        let given = try configuration.optional(resource) ?? []
        let name = try configuration.optional(serviceName)
        let own = [
            NamedText(name: "service.name", text: name ?? program),
            NamedText(name: "service.version", text: BuildInfo.version),
            NamedText(
                name: "service.instance.id", text: try configuration.value(CommonSettings.replica)),
        ]
        let names = Set(given.map(\.name))
        // What is given goes before what the program would say, but for a name that is set.
        return own.filter { $0.name == "service.name" && name != nil || !names.contains($0.name) }
            + given.filter { $0.name != "service.name" || name == nil }
    }

    /// What is wrong with the file that a setting names.
    package static func problems(in configuration: Configuration) -> [ConfigurationError] {
        guard let path = try? configuration.optional(certificate) else { return [] }
        do throws(SettingProblem) {
            guard try SettingFile.text(of: path).contains("-----BEGIN CERTIFICATE-----") else {
                throw SettingProblem("names \(path), which holds no certificate")
            }
            return []
        } catch {
            return [ConfigurationError(key: certificate.key, reason: error.reason)]
        }
    }

    private static func url(_ key: String, _ help: String) -> Setting<String> {
        Setting(key, help, allowed: "URL", fallback: nil) { text throws(SettingProblem) in
            guard let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty,
                ["http", "https"].contains(parts.scheme), parts.user == nil, parts.password == nil,
                parts.fragment == nil, parts.query == nil
            else {
                throw SettingProblem(
                    "must be an address such as https://collector.example.com:4318, without a "
                        + "user, a query or a fragment")
            }
            return text
        }
    }
}
