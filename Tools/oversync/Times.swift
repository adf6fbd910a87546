import ArgumentParser

/// An age on the command line: a whole number and s, m, h or d.
struct Age: ExpressibleByArgument, Hashable, CustomStringConvertible {
    static let secondsPerDay: Int64 = 86_400
    /// Longest age, in seconds: a hundred years.
    static let maximumSeconds = 36_500 * secondsPerDay
    private static let units: [Character: Int64] = [
        "s": 1, "m": 60, "h": 3600, "d": secondsPerDay,
    ]

    let seconds: Int64

    init(seconds: Int64) {
        self.seconds = seconds
    }

    /// As it is typed, in the largest unit that divides it.
    var description: String {
        let units = Self.units.sorted { $0.value > $1.value }
        let unit = units.first { seconds % $0.value == 0 && seconds >= $0.value }
        return unit.map { "\(seconds / $0.value)\($0.key)" } ?? "\(seconds)s"
    }
    var defaultValueDescription: String { description }

    init?(argument: String) {
        guard let unit = argument.last.flatMap({ Self.units[$0] }),
            argument.dropLast().allSatisfy({ $0.isASCII && $0.isNumber }),
            let count = Int64(argument.dropLast()),
            case (let seconds, false) = count.multipliedReportingOverflow(by: unit),
            seconds <= Self.maximumSeconds
        else { return nil }
        self.seconds = seconds
    }
}

/// A time on the command line, or an age.
enum Since: ExpressibleByArgument, Hashable {
    /// Seconds before now, by the database's clock.
    case age(Int64)
    /// As PostgreSQL reads it.
    case time(String)

    init?(argument: String) {
        if let age = Age(argument: argument) {
            self = .age(age.seconds)
            return
        }
        // Years and more, as far as it can be told apart from a slip; without a zone it is UTC.
        guard
            argument.wholeMatch(
                of: /\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?/)
                != nil
        else { return nil }
        self = .time(argument)
    }
}
