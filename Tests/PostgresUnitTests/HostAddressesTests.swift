import Testing
@testable import Postgres

@Suite("Addresses of the hosts in a connection string")
struct HostAddressesTests {
    private static let known = [
        "one": ["192.0.2.1"], "two": ["192.0.2.2", "2001:db8::2"], "empty": [],
        "many": (0..<40).map { "192.0.2.\($0)" },
    ]

    private let addresses = HostAddresses { name throws(PostgresError) in
        guard let found = Self.known[name] else {
            throw PostgresError(.connectFailed("\(name) is not known"))
        }
        return found
    }

    @Test(
        "Each address stands beside its name and port; what libpq finds by itself stays",
        arguments: [
            (["host": "one"], ["host": "one", "hostaddr": "192.0.2.1"]),
            (
                ["host": "two", "port": "6000"],
                ["host": "two,two", "hostaddr": "192.0.2.2,2001:db8::2", "port": "6000"]
            ),
            (
                ["host": "two,one", "port": "1,2"],
                [
                    "host": "two,two,one", "hostaddr": "192.0.2.2,2001:db8::2,192.0.2.1",
                    "port": "1,1,2",
                ]
            ),
            (
                ["host": "gone,one,/run/pg", "port": "1,,3"],
                ["host": "one,/run/pg", "hostaddr": "192.0.2.1,", "port": ",3"]
            ),
            (["host": "/run/pg"], ["host": "/run/pg"]),
            (["host": "@abstract"], ["host": "@abstract"]),
            (
                ["host": "gone", "hostaddr": "192.0.2.9"],
                ["host": "gone", "hostaddr": "192.0.2.9"]
            ),
            (["host": "one,two", "port": "1,2,3"], ["host": "one,two", "port": "1,2,3"]),
            (["dbname": "x"], ["dbname": "x"]),
            (["host": ""], ["host": ""]),
        ])
    func added(keywords: [String: String], expected: [String: String]) throws {
        #expect(try addresses.adding(to: keywords) == expected)
    }

    @Test("Of a name with very many addresses the first ones are tried")
    func many() throws {
        let all = try addresses.adding(to: ["host": "many"])
        #expect(all["hostaddr"]?.split(separator: ",").count == HostAddresses.maximumAddresses)
    }

    @Test(
        "No host has an address: the failure says which", arguments: ["gone", "gone,lost", "empty"])
    func none(host: String) {
        let error = #expect(throws: PostgresError.self) { try addresses.adding(to: ["host": host]) }
        let name = host.split(separator: ",").last.map(String.init) ?? ""
        #expect("\(String(describing: error))".contains(name))
    }

    @Test("An address that let a deadline pass is tried last, for a while")
    func silent() throws {
        let hosts = ["host": "one,two", "port": "6500"]
        HostAddresses.rememberSilence(of: "192.0.2.1", port: "6500")
        #expect(
            try addresses.adding(to: hosts)["hostaddr"] == "192.0.2.2,2001:db8::2,192.0.2.1")
        HostAddresses.rememberSilence(
            of: "192.0.2.2", port: "6500", now: .now - HostAddresses.silence)
        #expect(
            try addresses.adding(to: hosts)["hostaddr"] == "192.0.2.2,2001:db8::2,192.0.2.1")
        // The same address with another port is another server.
        let other = try addresses.adding(to: ["host": "one,two", "port": "6501"])["hostaddr"]
        #expect(other?.hasPrefix("192.0.2.1,") == true)
    }

    @Test("The system knows this host, and takes numbers as they are")
    func system() throws {
        let system = HostAddresses()
        let local = try system.adding(to: ["host": "localhost"])["hostaddr"]?.split(separator: ",")
        #expect(local?.contains { $0 == "127.0.0.1" || $0 == "::1" } == true)
        #expect(try system.adding(to: ["host": "127.0.0.1"])["hostaddr"] == "127.0.0.1")
        #expect(try system.adding(to: ["host": "::1"])["hostaddr"] == "::1")
    }
}
