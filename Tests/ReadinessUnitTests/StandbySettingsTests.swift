@testable import DatabaseKit
import ServiceKit
import Testing

@Suite("The setting that names standbys")
struct StandbySettingsTests {
    private static let setting = Setting.secret("URLS", "standbys")
    private static let settings = DatabaseSettings(
        service: "DOWNLOAD", maximum: 8, statementSeconds: 15)

    private static func problems(_ text: String?) -> [String] {
        let environment = text.map { ["URLS": $0] } ?? [:]
        return settings.standbyProblems(
            setting, in: Configuration(environment: environment)
        ).map(\.description)
    }

    @Test("None, one and several connection strings are taken, on one line or one a line")
    func taken() {
        #expect(Self.problems(nil) == [])
        #expect(Self.problems("") == [])
        #expect(Self.problems("postgresql://me@db-2/app") == [])
        #expect(Self.problems("postgresql://db-2/app?sslmode=require\npostgres://db-3/app ") == [])
    }

    @Test("What is not one is refused with the setting's name, and never quoted")
    func refused() {
        for text in [
            "host=db-2 password=secret", "postgresql://me:secret@db-2:port/app",
            "postgresql://me:secret@db-2/app?sslmode=maybe",
        ] {
            let problems = Self.problems(text)
            #expect(problems.count == 1, "\(text)")
            #expect(problems.allSatisfy { $0.hasPrefix("URLS ") && !$0.contains("secret") })
        }
    }
}
