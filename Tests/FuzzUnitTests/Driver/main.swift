import Dispatch
import Foundation
import Synchronization

// `make fuzz` builds this with libFuzzer. usage: oversync-fuzz [ENTRY [libFuzzer's arguments]]

/// libFuzzer with a `main` of the caller's.
@_silgen_name("LLVMFuzzerRunDriver")
func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ read: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

final class Outcome: Sendable {
    let error = Mutex<(any Error)?>(nil)
}

enum Chosen {
    /// The entry that the first argument names.
    static let entry = FuzzEntry.all.first { $0.name == CommandLine.arguments.dropFirst().first }

    /// Gives it bytes, and waits until they are read.
    static func read(_ bytes: [UInt8]) {
        guard let entry else { return }
        do {
            switch entry.reading {
            case .now(let read): try read(bytes)
            case .later(let read):
                let ended = DispatchSemaphore(value: 0)
                let outcome = Outcome()
                Task.detached {
                    do { try await read(bytes) } catch { outcome.error.withLock { $0 = error } }
                    ended.signal()
                }
                ended.wait()
                if let error = outcome.error.withLock({ $0 }) { throw error }
            }
        } catch {
            // What libFuzzer takes for a fault, and writes the bytes of.
            fatalError("\(entry.name): \(error)")
        }
    }
}

guard let entry = Chosen.entry else {
    print(FuzzEntry.all.map(\.name).joined(separator: "\n"))
    exit(CommandLine.arguments.count > 1 ? 64 : 0)
}
let words =
    [CommandLine.arguments[0], "-max_len=\(entry.mostBytes)"]
    + CommandLine.arguments.dropFirst(2)
var count = Int32(words.count)
var arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
    capacity: words.count + 1)
for (place, word) in words.enumerated() { arguments[place] = strdup(word) }
arguments[words.count] = nil
exit(
    runFuzzer(&count, &arguments) { start, length in
        Chosen.read(Array(UnsafeBufferPointer(start: start, count: length)))
        return 0
    })
