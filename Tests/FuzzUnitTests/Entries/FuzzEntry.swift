/// A place where bytes come in that nobody vouches for.
///
/// `make fuzz` gives it bytes that a coverage-guided fuzzer makes up; `CorpusTests` those of the
/// corpus, and mutations of them. Whatever they are, it returns: a trap, or a rule that is broken,
/// is a fault.
struct FuzzEntry: Sendable {
    enum Reading: Sendable {
        case now(@Sendable ([UInt8]) throws -> Void)
        case later(@Sendable ([UInt8]) async throws -> Void)
    }

    /// Also of its folder in the corpus.
    let name: String
    /// The longest input that is tried, in bytes.
    let mostBytes: Int
    let reading: Reading

    init(_ name: String, mostBytes: Int, now read: @escaping @Sendable ([UInt8]) throws -> Void) {
        (self.name, self.mostBytes, reading) = (name, mostBytes, .now(read))
    }

    init(
        _ name: String, mostBytes: Int,
        later read: @escaping @Sendable ([UInt8]) async throws -> Void
    ) {
        (self.name, self.mostBytes, reading) = (name, mostBytes, .later(read))
    }

    static let all = [
        json, uploadJSON, uploadProtobuf, rows, leases, frames, messages, token, claims, keys, gzip,
        forms,
        reports, traces, answers, sync,
    ]

    /// - Throws: `BrokenRule`.
    func read(_ bytes: [UInt8]) async throws {
        switch reading {
        case .now(let read): try read(bytes)
        case .later(let read): try await read(bytes)
        }
    }
}

/// What must hold for all bytes, and does not for these.
struct BrokenRule: Error, CustomStringConvertible {
    let description: String
}

/// - Throws: `BrokenRule` if the condition is false.
func hold(_ condition: Bool, _ rule: @autoclosure () -> String) throws {
    if !condition { throw BrokenRule(description: rule()) }
}

extension [UInt8] {
    /// A number below `count` that the first byte chooses, and the other bytes: one entry tries
    /// several ways of reading.
    func chosen(of count: Int) -> (choice: Int, rest: [UInt8]) {
        guard let first else { return (0, []) }
        return (Int(first) % count, Array(dropFirst()))
    }
}
