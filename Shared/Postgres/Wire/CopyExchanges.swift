import CLibPQ

/// Sends `COPY … FROM STDIN` and ends when the server is ready for data.
// @unchecked: its channel calls it under a lock, see Exchange.
final class CopyInBeginning: Exchange, @unchecked Sendable {
    private let sql: String
    private var failure: PostgresError?

    init(_ sql: String) {
        self.sql = sql
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        PQsendQuery(connection, sql) == 1 ? .sent : .refused(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while PQisBusy(connection) == 0 {
            guard let result = PQgetResult(connection) else {
                return .finished(failure ?? PostgresError(.misuse("not a COPY FROM STDIN")))
            }
            defer { PQclear(result) }
            switch Answers.read(result) {
            case .copyIn: return .finished(nil)
            case .failed(let error): failure = PostgresError(.server(error))
            case .done: break
            default: return .broken(PostgresError(.misuse("not a COPY FROM STDIN")))
            }
        }
        return .waiting(nil)
    }
}

/// Sends one piece of data and ends when the socket has taken it, so that the sender keeps step.
final class CopyInPiece: Exchange {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        let isTaken = bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else {
                return true
            }
            return PQputCopyData(connection, start, Int32(buffer.count)) == 1
        }
        return isTaken ? .sent : .refused(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        switch PQflush(connection) {
        case 0: .finished(nil)
        case 1: .waiting(nil)
        default: .broken(PostgresError(.connectionLost))
        }
    }
}

/// Ends the data, or gives the COPY up, and reads the server's verdict.
// @unchecked: its channel calls it under a lock, and the count is read when it has completed.
final class CopyInEnd: Exchange, @unchecked Sendable {
    private let abandonment: String?
    private var failure: PostgresError?
    private(set) var rows = 0

    /// - Parameter abandonment: makes the server refuse the whole COPY, with this as its reason.
    init(abandonment: String?) {
        self.abandonment = abandonment
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        PQputCopyEnd(connection, abandonment) == 1
            ? .sent : .broken(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while PQisBusy(connection) == 0 {
            guard let result = PQgetResult(connection) else { return .finished(failure) }
            let answer = PostgresResult(owning: result, statementName: nil)
            switch Answers.read(result) {
            case .done: rows = answer.affectedRows
            case .failed(let error): failure = PostgresError(.server(error))
            default: return .broken(PostgresError(.connectionLost))
            }
        }
        return .waiting(nil)
    }
}

/// `COPY … TO STDOUT`, in batches like ``StreamExchange``.
// @unchecked: its channel calls it under a lock, and a batch is taken while it is paused.
final class CopyOutExchange: Exchange, @unchecked Sendable {
    /// Bytes of one batch; a single row may be larger.
    private static let batchSize = 256 * 1024

    /// One row, in memory that libpq allocated.
    struct Piece {
        let start: UnsafeMutablePointer<CChar>
        let count: Int
    }

    private let sql: String
    private var isBegun = false
    private var isCopying = false
    private var isDiscarding = false
    private var failure: PostgresError?
    private var batch: [Piece] = []
    private var batchBytes = 0
    private(set) var isFinished = false

    init(_ sql: String) {
        self.sql = sql
    }

    deinit {
        Self.free(batch)
    }

    /// The caller frees the pieces.
    func takeBatch() -> [Piece] {
        defer { (batch, batchBytes) = ([], 0) }
        return batch
    }

    static func free(_ pieces: [Piece]) {
        for piece in pieces { PQfreemem(piece.start) }
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        if isBegun { return .sent }
        isBegun = true
        return PQsendQuery(connection, sql) == 1 ? .sent : .refused(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while true {
            if isCopying, let pause = copy(connection) { return pause }
            if PQisBusy(connection) != 0 { return .waiting(nil) }
            guard let result = PQgetResult(connection) else {
                isFinished = true
                return .finished(failure)
            }
            defer { PQclear(result) }
            switch Answers.read(result) {
            case .copyOut: isCopying = true
            case .done: break
            case .failed(let error): failure = PostgresError(.server(error))
            default: return .broken(PostgresError(.misuse("not a COPY TO STDOUT")))
            }
        }
    }

    func discardRest() {
        isDiscarding = true
        Self.free(takeBatch())
    }

    /// Takes rows until there are no more for now; nil when the COPY has ended.
    private func copy(_ connection: OpaquePointer) -> Progress? {
        while batchBytes < Self.batchSize {
            var start: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(connection, &start, 1)
            if count == 0 { return .waiting(nil) }
            guard count > 0, let start else {
                isCopying = false
                return nil
            }
            let piece = Piece(start: start, count: Int(count))
            if isDiscarding {
                Self.free([piece])
            } else {
                batch.append(piece)
                batchBytes += piece.count
            }
        }
        return .paused
    }
}
