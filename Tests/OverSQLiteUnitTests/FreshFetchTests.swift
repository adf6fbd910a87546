import Foundation
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// Reads of an app's see what was committed before them (issue 21, K8).
@Suite struct FreshFetchTests {
    /// Notes what is asked of `/sync/download`.
    private final class Recorder: HTTPTransport {
        private let base: any HTTPTransport
        private let queries = Mutex<[String]>([])

        init(_ base: any HTTPTransport) { self.base = base }

        var canStream: Bool { base.canStream }

        /// Each page asked for so far, as `after`, with `fresh` if it must be.
        func taken() -> [String] {
            queries.withLock { queries in
                defer { queries = [] }
                return queries
            }
        }

        func send(_ request: TransportRequest) async throws -> TransportResponse {
            if request.url.path == "/sync/download" {
                let parts = URLComponents(url: request.url, resolvingAgainstBaseURL: false)
                let items = parts?.queryItems ?? []
                let after = items.first { $0.name == "after" }?.value ?? ""
                let isFresh = items.contains { $0.name == "fresh" && $0.value == "true" }
                queries.withLock { $0.append(isFresh ? "\(after) fresh" : after) }
            }
            return try await base.send(request)
        }

        func stream(
            _ request: TransportRequest,
            _ receive: @escaping @Sendable (TransportPart) async throws -> Void
        ) async throws {
            try await base.stream(request, receive)
        }
    }

    private static func device(_ pageLimit: Int) throws -> (Device, Recorder) {
        let gateway = InMemoryGateway()
        let recorder = Recorder(gateway)
        let device = try Device("one", gateway) {
            $0.pageLimit = pageLimit
            $0.transport = recorder
        }
        return (device, recorder)
    }

    private static func write(_ numbers: ClosedRange<Int>, _ gateway: InMemoryGateway) {
        for number in numbers { gateway.write("users", key(number), PullTests.user(number)) }
    }

    @Test("each window that the app asks for begins fresh; its other pages need not")
    func asked() async throws {
        let (device, recorder) = try Self.device(2)
        Self.write(1...5, device.gateway)
        try await device.engine.fetchChanges()
        #expect(recorder.taken() == ["0 fresh", "2", "4"])
        try await device.engine.fetchChanges()
        #expect(recorder.taken() == ["5 fresh"])
        try await device.engine.syncChanges()
        #expect(recorder.taken() == ["5 fresh"])
    }

    @Test("what the engine fetches by itself may come from the server's memory")
    func byItself() async throws {
        let (device, recorder) = try Self.device(2)
        Self.write(1...3, device.gateway)
        // A device that is not hydrated fetches before it sends.
        try await device.engine.sendChanges()
        #expect(recorder.taken() == ["0", "2"])
        try await device.engine.session.inTurn { try await device.engine.session.fetch() }
        #expect(recorder.taken() == ["3"])
    }

    @Test("after an interrupted window, which ends before, it goes on to what came since")
    func interrupted() async throws {
        let (device, recorder) = try Self.device(2)
        Self.write(1...4, device.gateway)
        device.gateway.next(.download, .holdAnswer {})
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.engine.fetchChanges() }
        #expect(recorder.taken() == ["0 fresh", "2"])
        Self.write(5...5, device.gateway)
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 5)
        #expect(recorder.taken() == ["2", "4 fresh"])
    }
}
