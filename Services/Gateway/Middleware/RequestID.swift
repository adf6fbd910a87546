import Foundation
import Synchronization
import Telemetry

/// Names for requests that bring none.
enum RequestID {
    /// Enough to be unique, short enough to read out on the phone.
    private static let bytes = 12
    /// Names that are drawn with one system call: it gives 256 bytes at most.
    private static let namesPerDraw = 21
    /// Random bytes that no name has yet.
    private static let stock = Mutex<[UInt8]>([])

    /// 96 random bits in hexadecimal.
    static func fresh() -> String {
        stock.withLock { stock in
            if stock.isEmpty { stock = draw() }
            defer { stock.removeLast(bytes) }
            return hexadecimal(stock.suffix(bytes))
        }
    }

    private static func draw() -> [UInt8] {
        var drawn = [UInt8](repeating: 0, count: bytes * namesPerDraw)
        if getentropy(&drawn, drawn.count) == 0 { return drawn }
        // A system without the call.
        return drawn.map { _ in .random(in: 0 ... .max) }
    }
}
