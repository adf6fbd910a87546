import HTTPTypes
import HummingbirdCore
import Model
import Protos
import Testing

@testable import Gateway

/// The parameters of `GET /sync/download`, as existing clients know them.
struct DownloadQueryTests {
    private func query(
        _ text: String, maximumRows: Int = 1000
    ) throws(WireError) -> DownloadQuery {
        try DownloadQuery(
            URI("/sync/download?\(text)").queryParameters, maximumRows: maximumRows)
    }

    @Test func `everything has a default`() throws {
        let message = try query("").message
        #expect(message.after == 0)
        #expect(message.until == 0)
        #expect(message.limit == 100)
        #expect(message.schema.isEmpty)
        #expect(!message.includeSelf)
        #expect(message.waitSeconds == 0)
    }

    @Test func `the largest page is the one that is configured`() throws {
        #expect(try query("", maximumRows: 50).message.limit == 50)
        #expect(try query("limit=5000", maximumRows: 5000).message.limit == 5000)
        let error = #expect(throws: WireError.self) { try query("limit=51", maximumRows: 50) }
        #expect(error?.message == "limit must be between 1 and 50")
    }

    @Test func `S14: pages and waits longer than allowed are refused, with what is allowed`()
        throws
    {
        #expect(try query("limit=1000&wait=55").message.waitSeconds == 55)
        let wait = #expect(throws: WireError.self) { try query("limit=1000&wait=56") }
        #expect(wait?.message == "wait must be between 0 and 55 seconds")
        let page = #expect(throws: WireError.self) { try query("limit=1001&wait=55") }
        #expect(page?.message == "limit must be between 1 and 1000")
    }

    @Test func `everything is taken over`() throws {
        let text =
            "after=9007199254740991&until=5&limit=1000&schema=a_1&include_self=true&wait=55"
        let message = try query(text).message
        #expect(message.after == WireNumber.maximum)
        #expect(message.until == 5)
        #expect(message.limit == 1000)
        #expect(message.schema == "a_1")
        #expect(message.includeSelf)
        #expect(message.waitSeconds == 55)
    }

    @Test func `a window may end anywhere`() throws {
        #expect(try query("until=9223372036854775807").message.until == .max)
    }

    @Test(arguments: ["include_self=1", "include_self=TRUE", "include_self", "include_self=false"])
    func `only the word true includes the device's own changes`(text: String) throws {
        #expect(try query(text).message.includeSelf == false)
    }

    @Test(arguments: [
        ("after=x", "after must be an integer"), ("after=1.5", "after must be an integer"),
        ("after=9223372036854775808", "after must be an integer"),
        ("after=-1", "after must be >= 0"),
        ("after=9007199254740992", "after must be at most 9007199254740991"),
        ("limit=x", "limit must be an integer"), ("limit=0", "limit must be between 1 and 1000"),
        ("limit=-5", "limit must be between 1 and 1000"),
        ("limit=1001", "limit must be between 1 and 1000"),
        ("limit=10000", "limit must be between 1 and 1000"),
        ("schema=Public", "invalid schema name"),
        ("schema=a%20b", "invalid schema name"), ("schema=a-b", "invalid schema name"),
        ("schema=a%22%3Bdrop", "invalid schema name"), ("until=x", "until must be an integer"),
        ("until=-1", "until must be >= 0"), ("wait=56", "wait must be between 0 and 55 seconds"),
        ("wait=-1", "wait must be between 0 and 55 seconds"),
        ("wait=x", "wait must be between 0 and 55 seconds"),
        ("limit=0&after=x", "after must be an integer"),
    ])
    func `a wrong parameter is named, the first one first`(text: String, message: String) {
        #expect(throws: WireError(status: .badRequest, code: "invalid_request", message: message)) {
            try query(text)
        }
    }
}
