import Testing

@testable import ServiceKit

/// Misspelt settings. The names are put together, since a test compares every name in a source with the documentation.
struct UnknownVariablesTests {
    private static let prefix = "OVERSYNC" + "_"

    private func warnings(_ names: [String]) -> [String] {
        UnknownVariables(
            Configuration(
                environment: Dictionary(uniqueKeysWithValues: names.map { (Self.prefix + $0, "1") })
            )
        ).warnings
    }

    @Test(arguments: [
        ("UPLAOD_POOL_MAX", "UPLOAD_POOL_MAX"), ("GATEWAY_PRT", "GATEWAY_PORT"),
        ("DATABASE_URL_FIEL", "DATABASE_URL"), ("TLS_CERT", "TLS_CERTIFICATE"),
        ("REPLICAS", "REPLICA"), ("DATABASE_PASWORD_FILE", "DATABASE_PASSWORD_FILE"),
        ("JWT_HS265_SECRET", "JWT_HS256_SECRET"), ("LOGLEVEL", "LOG_LEVEL"),
    ])
    func `a misspelt name is told with the closest setting`(name: String, meant: String) {
        #expect(
            warnings([name]) == [
                "\(Self.prefix)\(name) is not a setting of Oversync; did you mean "
                    + "\(Self.prefix)\(meant)?"
            ])
    }

    @Test func `a name that resembles nothing is told without a guess`() {
        #expect(
            warnings(["XYZZY"]) == ["\(Self.prefix)XYZZY is not a setting of Oversync"])
    }

    @Test func `settings of all programs are known, and so are the files that hold them`() {
        let all = KnownSettings.names.flatMap { [$0, $0 + "_FILE"] }
        let environment = Dictionary(uniqueKeysWithValues: all.map { ($0, "1") })
        #expect(UnknownVariables(Configuration(environment: environment)).warnings.isEmpty)
        #expect(
            UnknownVariables(Configuration(environment: ["PATH": "/bin"])).warnings.isEmpty)
    }

    @Test func `a name in the wrong case is not a setting either`() {
        let name = "oversync" + "_run"
        #expect(
            UnknownVariables(Configuration(environment: [name: "/x"])).warnings
                == ["\(name) is not a setting of Oversync; did you mean \(Self.prefix)RUN?"])
    }

    @Test func `there are never more than eleven lines`() {
        #expect(warnings((0..<40).map { "NOTHING_LIKE_THIS_\($0)" }).count == 11)
    }

    @Test(arguments: [
        ("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("abc", "abd", 1), ("abc", "acb", 1),
        ("abc", "bc", 1), ("kitten", "sitting", 3),
    ])
    func `distance counts inserted, deleted, replaced and swapped letters`(
        first: String, second: String, distance: Int
    ) {
        #expect(EditDistance.between(first, second) == distance)
        #expect(EditDistance.between(second, first) == distance)
    }
}
