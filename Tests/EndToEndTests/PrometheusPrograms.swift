import AsyncHTTPClient
import DevStack
import Foundation
import LocalPostgres
import NIOCore
import ObservabilityFiles
import Programs
import Testing

/// Debian's Prometheus, as `Tools/make/prometheus.sh` has unpacked it.
enum PrometheusPrograms {
    private static let folder = ObservabilityFiles.root.appending(path: ".build/prometheus")

    static var areThere: Bool {
        FileManager.default.fileExists(atPath: folder.appending(path: "installed").path)
    }

    static func path(_ program: String) -> String {
        folder.appending(path: "bin/" + program).path
    }

    /// What a program prints, errors included, and its exit code.
    static func run(
        _ program: String, _ arguments: [String], in directory: URL? = nil, input: String = ""
    ) throws -> (text: String, status: Int32) {
        let process = Process()
        process.executableURL = URL(filePath: path(program))
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let (given, printed) = (Pipe(), Pipe())
        process.standardInput = given
        process.standardOutput = printed
        process.standardError = printed
        try process.run()
        // More than a pipe holds, which is read while it is written.
        let writing = Thread {
            try? given.fileHandleForWriting.write(contentsOf: Data(input.utf8))
            try? given.fileHandleForWriting.close()
        }
        writing.start()
        let text = String(
            decoding: printed.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (text, process.terminationStatus)
    }
}

/// A Prometheus that scrapes a stack, with the rules of `Deploy/observability`.
struct RunningPrometheus {
    private let address: String
    private let client: HTTPClient

    /// - Parameter targets: the ports of the admin listeners of each job, on the loopback address.
    static func with(
        targets: [String: [Int]], _ client: HTTPClient,
        _ body: (RunningPrometheus) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "prometheus-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let rules = ObservabilityFiles.folder.appending(path: "alerts.yml").path
        let jobs = targets.sorted { $0.key < $1.key }.map { job, ports in
            let list = ports.map { "\"127.0.0.1:\($0)\"" }.joined(separator: ",")
            return "  - {job_name: \(job), static_configs: [{targets: [\(list)]}]}"
        }
        let configuration = """
            global: {scrape_interval: 1s, evaluation_interval: 1s}
            rule_files: ["\(rules)"]
            scrape_configs:
            \(jobs.joined(separator: "\n"))
            """
        let file = folder.appending(path: "prometheus.yml")
        try configuration.write(to: file, atomically: true, encoding: .utf8)
        let port = try FreePort.find()
        let process = Process()
        process.executableURL = URL(filePath: PrometheusPrograms.path("prometheus"))
        process.arguments = [
            "--config.file=\(file.path)", "--storage.tsdb.path=\(folder.path)/data",
            "--web.listen-address=127.0.0.1:\(port)", "--log.level=error",
        ]
        try process.run()
        defer {
            process.terminate()
            process.waitUntilExit()
        }
        try await body(RunningPrometheus(address: "http://127.0.0.1:\(port)", client: client))
    }

    /// A series' labels and value now.
    typealias Sample = (labels: [String: String], value: Double)

    /// What an expression gives now.
    func query(_ expression: String) async throws -> [Sample] {
        var components = try #require(URLComponents(string: address + "/api/v1/query"))
        components.queryItems = [URLQueryItem(name: "query", value: expression)]
        // A plus is a space in a query.
        let url = try #require(components.string).replacing("+", with: "%2B")
        let response = try await client.execute(
            HTTPClientRequest(url: url), timeout: .seconds(10))
        let body = try await response.body.collect(upTo: 8 << 20)
        let data = Data(body.readableBytesView)
        let json = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        try #require(
            json?["status"] as? String == "success", "\(expression): \(String(buffer: body))")
        let answer = json?["data"] as? [String: Any]
        if answer?["resultType"] as? String == "scalar" { return [] }
        return try (answer?["result"] as? [[String: Any]] ?? []).map { series in
            let pair = try #require(series["value"] as? [Any])
            return (
                series["metric"] as? [String: String] ?? [:],
                Double("\(pair[1])") ?? .nan
            )
        }
    }

    /// Comes back when each target was scraped at least this many times.
    func expectScrapes(_ count: Int, of targets: Int) async throws {
        try await eventually(within: .seconds(60), "Prometheus scrapes all targets") {
            let found = try? await query("count_over_time(up[5m]) >= \(count) and up == 1")
            return found?.count == targets
        }
    }
}
