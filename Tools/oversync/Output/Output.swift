import ArgumentParser
import Foundation
import WireJSON

/// Whether a command prints JSON.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON: one object, or one object a line where there are many.")
    var json = false
}

/// What operators read, in units that people use.
enum Words {
    /// Such as `3 minutes`, rounded down to one unit.
    static func age(_ seconds: Int64) -> String {
        let units: [(name: String, seconds: Int64)] = [
            ("day", 86_400), ("hour", 3600), ("minute", 60),
        ]
        for unit in units where seconds >= unit.seconds {
            return count(seconds / unit.seconds, unit.name)
        }
        return count(max(0, seconds), "second")
    }

    /// Such as `1 row` and `2 rows`.
    static func count(_ number: Int64, _ name: String) -> String {
        "\(number) \(name)\(number == 1 ? "" : "s")"
    }

    /// A count that ends at `limit`, because no more were counted.
    static func count(_ number: Int64, upTo limit: Int64, _ name: String) -> String {
        number < limit ? count(number, name) : "at least \(count(number, name))"
    }

    /// Such as `1.5 GiB`.
    static func bytes(_ bytes: Int64) -> String {
        let units = ["KiB", "MiB", "GiB", "TiB"]
        guard bytes >= 1024 else { return "\(bytes) B" }
        var (value, unit) = (Double(bytes) / 1024, 0)
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        let format = FloatingPointFormatStyle<Double>.number.precision(.fractionLength(1))
        return "\(value.formatted(format.locale(.posix))) \(units[unit])"
    }
}

extension Locale {
    /// Numbers are the same on every machine.
    fileprivate static let posix = Locale(identifier: "en_US_POSIX")
}

/// Lines of cells under headings, each column as wide as its widest cell.
struct TextTable {
    private var rows: [[String]]

    init(_ headings: [String]) { rows = [headings] }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    var text: String {
        let widths = rows.reduce(into: [Int](repeating: 0, count: rows[0].count)) { widths, row in
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        return rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}

/// How far a long piece of work is, on the terminal's error output; nowhere else, so that files and
/// pipes hold results alone.
struct ProgressLine {
    /// Shortest time between two updates.
    private static let interval = Duration.milliseconds(200)
    /// Work that is over before that shows none.
    private static let delay = Duration.seconds(1)
    private static let start = "\r\u{1B}[2K"

    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let begin = ContinuousClock.now
    private var last: ContinuousClock.Instant?

    /// - Parameters:
    ///   - done: of the work.
    ///   - total: nil if it is not known.
    mutating func show(_ done: Int64, of total: Int64? = nil, _ what: String) {
        let now = ContinuousClock.now
        guard isTerminal, now - begin >= Self.delay, now - (last ?? begin) >= Self.interval
        else { return }
        last = now
        let share = total.map { $0 > 0 ? " of \($0) (\(min(100, done * 100 / $0)) %)" : "" } ?? ""
        write("\(Self.start)\(done)\(share) \(what)")
    }

    /// Takes the line away.
    mutating func end() {
        if last != nil { write(Self.start) }
        last = nil
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
