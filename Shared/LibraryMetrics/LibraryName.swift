import Telemetry

/// A library's name and dimensions, as Prometheus' names and labels.
struct LibraryName {
    /// What becomes of it.
    enum Form {
        case counter, gauge, seconds, sizes
    }

    /// Bounds of what is recorded and is no duration: powers of four from 1 to about 10⁹.
    static let sizes: [Double] = (0...15).map { Double(UInt64(1) << (2 * $0)) }

    private static let prefix = "library_"
    /// Longest name, and longest value of a label, in bytes.
    private static let maximumBytes = 128
    /// Labels of one name; those beyond are left out.
    private static let maximumLabels = 8
    /// What Prometheus adds to a histogram's labels.
    private static let reserved: Set = ["le", "quantile"]

    let text: String
    let form: Form
    let labels: MetricLabels
    /// In the order of their names.
    let labelNames: [String]

    init(_ label: String, _ form: Form, _ dimensions: [(String, String)]) {
        let suffix =
            switch form {
            case .counter: "_total"
            case .seconds: "_seconds"
            case .gauge, .sizes: ""
            }
        let name = Self.prefix + Self.word(label)
        text = name.hasSuffix(suffix) ? name : name + suffix
        self.form = form
        var members: [String: String] = [:]
        for (key, value) in dimensions where members.count < Self.maximumLabels {
            let word = Self.word(key)
            let name = Self.reserved.contains(word) || word.hasPrefix("__") ? "_" + word : word
            members[name.first?.isNumber == true ? "_" + name : name] = Self.cut(value)
        }
        let sorted = members.sorted { $0.key < $1.key }
        labels = MetricLabels(sorted.map { ($0.key, $0.value) })
        labelNames = sorted.map(\.key)
    }

    /// Letters, digits and underscores of ASCII; anything else becomes an underscore.
    private static func word(_ text: String) -> String {
        let bytes = text.utf8.prefix(maximumBytes).map { byte -> UInt8 in
            let isAllowed = byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26
            return isAllowed ? byte : UInt8(ascii: "_")
        }
        return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > maximumBytes else { return text }
        var bytes = 0
        return String(
            text.unicodeScalars.prefix {
                bytes += Unicode.UTF8.width($0)
                return bytes <= maximumBytes
            })
    }
}
