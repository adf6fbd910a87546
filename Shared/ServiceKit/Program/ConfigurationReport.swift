/// The answer to `--check`: every problem, then what is only suspicious.
struct ConfigurationReport {
    let program: ServiceProgram
    let configuration: Configuration
    let problems: [ConfigurationError]

    init(_ program: ServiceProgram, _ configuration: Configuration) {
        self.program = program
        self.configuration = configuration
        problems = program.problems(in: configuration)
    }

    var exitCode: Int32 { problems.isEmpty ? ExitCode.done : ExitCode.configuration }

    var text: String {
        var lines = problems.map { problem in
            "problem: \(problem) (\(configuration.source(of: problem.key, among: program.allSettings)))"
        }
        lines += program.warnings(in: configuration).map { "warning: \($0)" }
        switch problems.count {
        case 0: lines.append("\(program.name): the configuration can be used")
        case 1: lines.append("\(program.name): 1 problem")
        default: lines.append("\(program.name): \(problems.count) problems")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
