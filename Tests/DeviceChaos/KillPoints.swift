import GRDB
import Glibc
import OverSQLite
import Synchronization

/// Kills this process, as `kill -9` does, when a number of points has been reached: before and after every commit,
/// before every request and between its answer and what is done with it.
final class KillPoints: TransactionObserver, Sendable {
    private let count = Atomic(0)
    /// The point to die at; 0: none.
    private let last: Int

    init(last: Int) { self.last = last }

    var reached: Int { count.load(ordering: .relaxed) }

    func reach() {
        let number = count.add(1, ordering: .relaxed).newValue
        guard number == last else { return }
        kill(getpid(), SIGKILL)
        // The signal may be dealt with by another thread; nothing must go on here.
        while true { pause() }
    }

    func observes(eventsOfKind kind: DatabaseEventKind) -> Bool { false }
    func databaseDidChange(with event: DatabaseEvent) {}
    func databaseWillCommit() throws { reach() }
    func databaseDidCommit(_ db: Database) { reach() }
    func databaseDidRollback(_ db: Database) {}
}

/// Passes the points of every request.
struct PointTransport: HTTPTransport {
    let base: any HTTPTransport
    let points: KillPoints

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        points.reach()
        let response = try await base.send(request)
        points.reach()
        return response
    }
}
