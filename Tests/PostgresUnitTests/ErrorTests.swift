import Testing

@testable import Postgres

@Suite struct ErrorTests {
    @Test func anErrorPrintsItsCodeStatementAndConstraintButNoSentenceOfTheServer() {
        let server = ServerError(
            sqlState: .uniqueViolation, message: "secret value", constraint: "users_email_key")
        let error = PostgresError(.server(server), statementName: "insert_user", commandIndex: 2)
        #expect("\(error)" == "SQLSTATE 23505 in insert_user constraint users_email_key")
    }

    @Test func theServersCodeIsFoundInWhatLibpqSaysOfARefusal() {
        let text = """
            connection to server at "127.0.0.1", port 5432 failed: FATAL:  28P01: password authentication failed \
            for user "ann"
            LOCATION:  auth_failed, auth.c:339

            """
        let error = ConnectExchange.failure(text)
        #expect(
            error.kind
                == .connectFailed(
                    "connection to server at \"127.0.0.1\", port 5432 failed: FATAL: password authentication "
                        + "failed for user \"ann\"", .invalidPassword))
        #expect(error.isUnreachable && error.isTransient)
    }

    @Test func whereNoServerAnsweredThereIsNoCode() {
        let text = """
            connection to server at "127.0.0.1", port 1 failed: Connection refused
            \tIs the server running on that host and accepting TCP/IP connections?

            """
        guard case .connectFailed(let reason, let state) = ConnectExchange.failure(text).kind else {
            Issue.record("another kind of error")
            return
        }
        #expect(state == nil)
        #expect(reason.contains("Connection refused"))
    }

    @Test(arguments: ["22003", "23505", "23503", "23514", "42804", "P0001", "44000"])
    func theDataIsToBlame(state: String) {
        #expect(SQLState(rawValue: state).isDataTrouble)
        #expect(!SQLState(rawValue: state).isTransient)
    }

    @Test(arguments: ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "08006", "53300"])
    func theMomentIsToBlame(state: String) {
        #expect(SQLState(rawValue: state).isTransient)
        #expect(!SQLState(rawValue: state).isDataTrouble)
    }

    @Test(arguments: ["42601", "42P01", "57014", "0A000"])
    func neitherIsToBlame(state: String) {
        #expect(!SQLState(rawValue: state).isTransient)
        #expect(!SQLState(rawValue: state).isDataTrouble)
    }
}
