import Testing

@testable import Postgres

@Suite struct ConfigurationTests {
    @Test func aPasswordIsNeitherPrintedNorDumped() throws {
        let configuration = try PostgresConfiguration(url: "postgresql://me:hidden@db:5433/shop")
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] {
            #expect(!text.contains("hidden"))
        }
        #expect("\(configuration)" == "db:5433/shop")
        #expect(configuration.keywords["password"] == "hidden")
    }

    @Test func aWrongUrlIsMisuseAndNotQuoted() {
        #expect {
            _ = try PostgresConfiguration(url: "postgresql://me:hidden@[")
        } throws: { error in
            "\(error)" == "misuse: not a PostgreSQL connection string"
        }
    }

    @Test func settingsBecomeStartupOptionsWithSpacesEscaped() throws {
        let configuration = try PostgresConfiguration(
            url: "host=db options='-c geqo=off'",
            sessionSettings: ["search_path": "sync, public", "TimeZone": "UTC"])
        let options = configuration.connectionKeywords["options"]
        #expect(options == #"-c geqo=off -c TimeZone=UTC -c search_path=sync,\ public"#)
        #expect(!configuration.openingScript.contains("set_config"))
    }

    @Test func aPoolerThatKeepsNoSessionsGetsNoStatementsForThem() throws {
        var configuration = try PostgresConfiguration(
            url: "host=db", sessionSettings: ["TimeZone": "UTC"])
        configuration.settingsDelivery = .afterConnect
        #expect(configuration.openingScript.contains("(E'TimeZone', E'UTC', false)"))
        configuration.settingsDelivery = .eachTransaction
        #expect(configuration.openingScript == "")
    }

    @Test func thePasswordIsAskedForEachTime() throws {
        var configuration = try PostgresConfiguration(url: "postgresql://me:first@db/shop")
        #expect(configuration.connectionKeywords["password"] == "first")
        configuration.password = { "second" }
        #expect(configuration.connectionKeywords["password"] == "second")
        configuration.password = { nil }
        #expect(configuration.connectionKeywords["password"] == "first")
    }

    @Test func aPoolWithImpossibleBoundsIsRefused() {
        #expect(throws: PostgresError.self) {
            try PoolConfiguration(minimumConnections: 3, maximumConnections: 2)
        }
        #expect(throws: PostgresError.self) { try PoolConfiguration(maximumConnections: 0) }
        #expect(throws: PostgresError.self) { try PoolConfiguration(acquireTimeout: .zero) }
    }
}
