import HTTPTypes
import Hummingbird
import RPC
import Testing

@testable import Gateway

/// How failures look to a device.
struct WireErrorTests {
    @Test(
        arguments: [
            (.invalidArgument, 400), (.unauthenticated, 401), (.permissionDenied, 403),
            (.notFound, 404),
            (.conflict, 409), (.gone, 410), (.tooLarge, 413), (.resourceExhausted, 429),
            (.unavailable, 503),
            (.deadlineExceeded, 503), (.cancelled, 503), (.internal, 500),
        ] as [(RPCStatus, Int)])
    func `every status of a call has its status of HTTP`(status: RPCStatus, code: Int) {
        let error = WireError(RPCFailure(status, code: "c", message: "m"))
        #expect(error.status.code == code)
        #expect(error.code == "c")
        #expect(error.message == "m")
        // V7: an answer that asks to come back says when.
        #expect((error.retryAfter != nil) == [429, 503].contains(code))
        let response = error.response(requestID: "r")
        #expect(response.headers[.retryAfter] == ([429, 503].contains(code) ? "1" : nil))
        #expect(response.headers[.wwwAuthenticate] == (code == 401 ? "Bearer" : nil))
        #expect(response.headers[.contentType] == "application/json")
    }

    @Test(arguments: [
        (Duration.zero, 1), (.milliseconds(1), 1), (.milliseconds(1001), 2), (.seconds(30), 30),
    ])
    func `a time to retry is rounded up to whole seconds`(time: Duration, seconds: Int) {
        let failure = RPCFailure(.unavailable, code: "c", message: "m", retryAfter: time)
        #expect(WireError(failure).retryAfter == seconds)
    }

    @Test func `a path has its methods, and HEAD is a GET`() throws {
        let table = RouteTable([Route(.get, "/a") { _, _ in Response(status: .ok) }])
        #expect(try table.route(.get, "/a").path == "/a")
        #expect(try table.route(.head, "/a").method == .get)
        #expect(throws: WireError.notFound) { try table.route(.get, "/a/") }
        #expect {
            try table.route(.post, "/a")
        } throws: { error in
            let error = error as? WireError
            return error?.status == .methodNotAllowed && error?.allow == "GET"
                && error?.message == "Only GET method is allowed"
        }
    }
}
