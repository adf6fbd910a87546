import Postgres
import Testing

@testable import DatabaseKit

@Suite("What a look at the database means")
struct DatabaseJudgementTests {
    private func judgement(
        writes: Bool = true, business: [[RequiredPrivileges]] = []
    ) -> DatabaseJudgement {
        DatabaseJudgement(
            needs: DatabaseNeeds(
                layout: 9,
                privileges: [
                    RequiredPrivileges(schema: "sync"),
                    RequiredPrivileges(table: "sync.scope", [.select, .insert]),
                ], writes: writes),
            business: business)
    }

    private func reading(layout: Int = 9) -> DatabaseReading {
        DatabaseReading(role: "uploader", layout: layout)
    }

    @Test(
        "Code at layout N works with a database at N and N + 1, and says what to do about others",
        arguments: [
            (0, "run oversync migrate"), (8, "run oversync migrate"), (9, nil), (10, nil),
            (11, "this program is too old"),
        ] as [(Int, String?)])
    func layouts(installed: Int, advice: String?) {
        let problems = judgement().problems(reading(layout: installed)).blocking
        #expect(problems.isEmpty == (advice == nil))
        if let advice {
            #expect(problems.first?.contains(advice) == true)
            #expect(problems.first?.contains("layout \(installed)") == true)
        }
    }

    @Test("A standby and a read-only database are of no use to who writes, and fine for who reads")
    func standby() {
        var standby = reading()
        standby.isStandby = true
        standby.isReadOnly = true
        #expect(judgement().problems(standby).blocking.first?.contains("standby") == true)
        #expect(judgement(writes: false).problems(standby).blocking == [])
        var readOnly = reading()
        readOnly.isReadOnly = true
        let problem = judgement().problems(readOnly).blocking.first
        #expect(problem?.contains("default_transaction_read_only") == true)
        #expect(judgement(writes: false).problems(readOnly).blocking == [])
    }

    @Test(
        "A privilege that is missing on the sidecar is blocking; role, privilege and table are named"
    )
    func sidecar() {
        var reading = reading()
        reading.missing = [
            .init(what: RequiredPrivileges(table: "sync.scope", [.insert]), isAbsent: false)
        ]
        let (blocking, degrading) = judgement().problems(reading)
        #expect(degrading == [])
        #expect(
            blocking == [
                "the role uploader lacks INSERT on sync.scope: grant it, or run oversync migrate"
            ])
    }

    @Test("A privilege that is missing on one business table degrades, and the table is named")
    func business() {
        let tables = ["one", "two"].map { table in
            [
                RequiredPrivileges(schema: "app"),
                RequiredPrivileges(schema: "app", table: table, [.select, .update]),
            ]
        }
        var reading = reading()
        reading.missing = [
            .init(
                what: RequiredPrivileges(schema: "app", table: "two", [.update]), isAbsent: false)
        ]
        let (blocking, degrading) = judgement(business: tables).problems(reading)
        #expect(blocking == [])
        #expect(degrading.count == 1)
        #expect(degrading[0].contains("uploads to app.two fail"))
        #expect(degrading[0].contains("UPDATE on app.two"))
        reading.missing = [.init(what: RequiredPrivileges(schema: "app"), isAbsent: false)]
        #expect(judgement(business: tables).problems(reading).degrading.count == 2)
    }

    @Test("A table suffers only from the lack of what itself needs of a parent")
    func parents() {
        let parent = RequiredPrivileges(schema: "app", table: "parent", [.select, .insert])
        let child = [
            RequiredPrivileges(schema: "app", table: "parent", [.select]),
            RequiredPrivileges(schema: "app", table: "child", [.insert]),
        ]
        let judgement = judgement(business: [[parent], child])
        func lack(_ right: RequiredPrivileges.Privilege) -> DatabaseReading.Missing {
            .init(
                what: RequiredPrivileges(schema: "app", table: "parent", [right]), isAbsent: false)
        }
        func told(_ table: String, _ rights: String) -> String {
            "uploads to app.\(table) fail: the role uploader lacks \(rights) on app.parent: "
                + "grant it, or run oversync migrate"
        }
        var reading = reading()
        reading.missing = [lack(.insert)]
        #expect(judgement.problems(reading).degrading == [told("parent", "INSERT")])
        reading.missing = [lack(.select)]
        #expect(
            judgement.problems(reading).degrading
                == [told("parent", "SELECT"), told("child", "SELECT")])
        // Two findings about one object count as one.
        reading.missing = [lack(.insert), lack(.select)]
        #expect(
            judgement.problems(reading).degrading
                == [told("parent", "SELECT, INSERT"), told("child", "SELECT")])
    }

    @Test("A parent or sequence that is gone is told of the table that needs it")
    func absentParent() {
        let sequence = RequiredPrivileges(sequence: "app.numbers")
        let table = RequiredPrivileges(schema: "app", table: "child", [.insert])
        let judgement = judgement(business: [[sequence, table]])
        var reading = reading()
        reading.missing = [.init(what: sequence, isAbsent: true)]
        #expect(
            judgement.problems(reading).degrading
                == ["uploads to app.child fail: there is no app.numbers"])
        reading.missing.append(.init(what: table, isAbsent: true))
        #expect(
            judgement.problems(reading).degrading
                == ["there is no table app.child: uploads to it are refused"])
    }

    @Test("Where there is no sidecar, that is what is told")
    func absent() {
        var reading = DatabaseReading(role: "uploader")
        reading.missing = judgement().needs.privileges.map { .init(what: $0, isAbsent: true) }
        let problems = judgement().problems(reading).blocking
        #expect(
            problems == [
                "lacks schema sync, sync.scope: run oversync migrate, or connect to the right database"
            ])
    }
}

@Suite("Causes are told apart")
struct PostgresTroubleTests {
    private let configuration = PostgresConfiguration(keywords: [
        "host": "db.example", "port": "5433", "dbname": "app", "user": "uploader",
        "password": "hunter2",
    ])

    private func words(_ kind: PostgresError.Kind) -> String {
        "\(PostgresTrouble(PostgresError(kind), configuration))"
    }

    private static let kinds: [(PostgresError.Kind, String)] = [
        (.connectFailed("… Connection refused", nil), "nothing listens at db.example:5433/app"),
        (.connectFailed("server closed the connection unexpectedly"), "closes connections before"),
        (.connectFailed("timed out"), "no connection to db.example:5433/app in time"),
        (.connectFailed("could not translate host name"), "the name of its host is not known"),
        (.connectFailed("x", .invalidPassword), "does not let the role uploader in"),
        (.connectFailed("x", .invalidAuthorization), "does not let the role uploader in"),
        (.connectFailed("x", .undefinedDatabase), "has no database app"),
        (.connectFailed("x", .insufficientPrivilege), "may not connect to the database app"),
        (.connectFailed("x", .tooManyConnections), "takes no more connections"),
        (.connectFailed("x", .cannotConnectNow), "is starting or shutting down"),
        (.deadlineExceeded, "does not answer within 600 ms"),
        (.poolExhausted, "does not answer within 600 ms"),
        (.connectionLost, "the connection has ended"),
        (.server(ServerError(sqlState: .insufficientPrivilege)), "lacks a privilege"),
    ]

    @Test("Each cause has its words, and none has the password")
    func causes() {
        for (kind, words) in Self.kinds {
            #expect(self.words(kind).contains(words), "\(kind)")
            #expect(!self.words(kind).contains("hunter2"))
        }
    }
}
