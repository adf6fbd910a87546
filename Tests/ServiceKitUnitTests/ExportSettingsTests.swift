import Foundation
import Testing

@testable import ServiceKit

/// OpenTelemetry's variables, as the services read them.
struct ExportSettingsTests {
    private func settings(_ environment: [String: String]) throws -> ExportSettings {
        let replica = ["OVERSYNC_REPLICA": "r1"]
        return try ExportSettings(
            Configuration(environment: environment.merging(replica) { $1 }),
            program: "oversync-upload")
    }

    private func problem(_ key: String, _ value: String) -> String? {
        let configuration = Configuration(environment: [key: value])
        let setting = ExportSettings.all.first { $0.key == key }
        return setting?.problem(in: configuration)?.description
    }

    @Test func `nothing is sent anywhere unless an address is set`() throws {
        let none = try settings([:])
        #expect(none.traces == nil && none.metrics == nil)
        let off = try settings([
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c:4318", "OTEL_SDK_DISABLED": "true",
        ])
        #expect(off.traces == nil && off.metrics == nil)
    }

    @Test func `one address serves both, and each may have its own`() throws {
        for base in ["https://c.example:4318", "https://c.example:4318/"] {
            let both = try settings(["OTEL_EXPORTER_OTLP_ENDPOINT": base])
            #expect(both.traces == "https://c.example:4318/v1/traces")
            #expect(both.metrics == "https://c.example:4318/v1/metrics")
        }
        let own = try settings([
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/here",
        ])
        #expect(own.traces == "http://t:1/here" && own.metrics == "https://c/otlp/v1/metrics")
        let traces = try settings(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/here"])
        #expect(traces.metrics == nil)
    }

    @Test func `a process says who it is, unless it is told`() throws {
        func told(_ environment: [String: String]) throws -> [String] {
            try settings(environment).process.map { "\($0.name)=\($0.text)" }
        }
        let version = "service.version=\(BuildInfo.version)"
        let plain = try told([:])
        #expect(plain == ["service.name=oversync-upload", version, "service.instance.id=r1"])
        let given = ["OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.instance.id=i,x=%2C"]
        let attributes = try told(given)
        #expect(attributes == [version, "service.name=a", "service.instance.id=i", "x=,"])
        let named = try told(given.merging(["OTEL_SERVICE_NAME": "b"]) { $1 })
        #expect(named == ["service.name=b", version, "service.instance.id=i", "x=,"])
    }

    @Test(arguments: [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://ann:pw@c"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/?key=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key"), ("OTEL_EXPORTER_OTLP_HEADERS", "k e=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=a%0D%0Ab"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=1,key=2"), ("OTEL_EXPORTER_OTLP_HEADERS", "key=%ff%"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=1"), ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"), ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ])
    func `what cannot be used is refused`(_ key: String, _ value: String) {
        #expect(
            problem(key, value)?.hasPrefix(key + " must ") == true
                || problem(key, value)?.hasPrefix(key + " names ") == true)
    }

    @Test func `what is wrong with a secret does not show it`() {
        let problem = problem("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2,hunter3")
        #expect(problem == "OTEL_EXPORTER_OTLP_HEADERS must be name=value,…; member 2 is not")
        let isSecret = ExportSettings.headers.isSecret
        #expect(isSecret)
    }

    @Test func `what is not read is told`() {
        let names = UnknownVariables(
            Configuration(environment: [
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b", "OTEL_SERVICE_NAME": "a",
                "OTEL_EXPORTER_OTLP_HEADERS_FILE": "/f",
            ])
        ).warnings
        #expect(names == ["OTEL_EXPORTER_OTLP_TRACES_HEADERS is not read by Oversync"])
    }
}
