import ArgumentParser
import Bench

/// Settings that a measurement tries the services with.
struct ServiceSettingOptions: ParsableArguments {
    @Option(
        help:
            "A setting of the services, such as OVERSYNC_UPLOAD_POOL_MAX=4; may be repeated."
    )
    var setting: [String] = []

    func validate() throws {
        for text in setting where !text.hasPrefix("OVERSYNC_") || !text.contains("=") {
            throw ValidationError("--setting \(text): must be OVERSYNC_<NAME>=<value>")
        }
    }

    var settings: [String: String] {
        var all: [String: String] = [:]
        for text in setting {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            all[String(parts[0])] = String(parts[1])
        }
        return all
    }
}

/// Checks, before anything is measured, that its results can be written.
func checkOutputs(_ outputs: [(option: String, path: String?)]) throws {
    for (option, path) in outputs {
        guard let path, let trouble = OutputFile.trouble(path) else { continue }
        throw ValidationError("\(option): \(trouble)")
    }
}
