import Postgres

/// How a payload's value is compared with the one that its column holds.
///
/// By value, not by text: 1.0 and 1.00 are one number, and one instant may be written in any time
/// zone. But before the column's type cuts, rounds or pads anything: 1.005 is not the 1.01 that
/// `numeric(10,2)` makes of it. So values are read as a type without a modifier, numbers of every
/// type as `numeric`, and of times it is also their text that says whether something was left out.
///
/// What a column of a type gives back (`WireRendering`) is the same in this comparison.
struct SentValue {
    private enum Form {
        /// Compared as the bytes of their text.
        case text
        /// `char(n)`: the cast to text would take off what the column has padded.
        case padded
        case number
        case money
        case time(Time)
        /// A type of the team's or of an extension, or an array of one: as JSON, or as text.
        case unknown
        case array(of: String)
        case typed(ComparableForm)
    }

    /// What of a text a type passes over without an error.
    private enum Time {
        case instant, local, date, clock, other

        /// Digits after the sixth of a second, and words for moments, which are others when they
        /// are read again.
        private static let anywhere = "[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday"
        /// A zone after the time, but for the letters of an era.
        private static let zone = "[0-9]:[0-9][0-9.:]*\\s*(z|[+-][0-9]|(?!bc)[a-z])"

        /// A regular expression for texts that have such a part.
        var loss: String {
            switch self {
            case .instant, .other: Self.anywhere
            case .local: "\(Self.anywhere)|\(Self.zone)"
            case .date: "\(Self.anywhere)|[0-9]:[0-9]"
            case .clock: "\(Self.anywhere)|\(Self.zone)|[0-9]-[0-9]"
            }
        }
    }

    static let numeric: UInt32 = 1700
    private static let (float4, money): (UInt32, UInt32) = (700, 790)
    static let (date, timestamp): (UInt32, UInt32) = (1082, 1114)
    private static let (time, interval, timetz): (UInt32, UInt32, UInt32) = (1083, 1186, 1266)
    /// `name`, `"char"`, `text`, `varchar`.
    private static let texts: Set<UInt32> = [18, 19, 25, 1043]
    /// Arrays of these, and of `char(n)`.
    private static let textArrays: Set<UInt32> = [1002, 1003, 1009, 1014, 1015]
    /// Arrays of `real`, `double precision` and `numeric`.
    private static let numberArrays: Set<UInt32> = [1021, 1022, 1231]
    /// Arrays of times, dates and intervals.
    private static let timeArrays: Set<UInt32> = [1115, 1182, 1183, 1185, 1187, 1270]
    /// The smallest object identifier of a type that is not PostgreSQL's own.
    private static let firstUserType: UInt32 = 16_384
    /// A number as JSON writes it.
    private static let plainNumber = "^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$"

    /// One that `numeric` holds whatever its digits are.
    private static let shortNumber = "^-?[0-9]{1,40}([.][0-9]{1,40})?$"

    private let column: Column
    private let form: Form
    /// The type that the payload's value is read as.
    let fieldType: String

    init(_ column: Column) {
        self.column = column
        form = Self.form(of: column)
        fieldType =
            switch form {
            case .text, .padded, .number, .money: "text"
            case .time(.instant): WireConversion(column).fieldType
            case .time: "text"
            case .unknown: "json"
            case .array(let type): type
            case .typed:
                WireConversion(column).fieldType == column.typeName
                    ? column.plainType.name : WireConversion(column).fieldType
            }
    }

    private static func form(of column: Column) -> Form {
        switch column.baseType {
        case _ where column.plainType.isEnum: return .text
        case firstUserType...: return .unknown
        case let type where texts.contains(type): return .text
        case PostgresType.bpchar.rawValue: return .padded
        case numeric, float4, PostgresType.float8.rawValue: return .number
        case money: return .money
        case PostgresType.timestamptz.rawValue: return .time(.instant)
        case timestamp: return .time(.local)
        case date: return .time(.date)
        case time: return .time(.clock)
        case timetz, interval: return .time(.other)
        case let type where textArrays.contains(type): return .array(of: "text[]")
        case let type where numberArrays.contains(type): return .array(of: "numeric[]")
        case _ where column.plainType.isArray: return .array(of: column.plainType.name)
        default: return .typed(ComparableForm(column))
        }
    }

    /// A condition, never NULL: the value that was sent is the one that is stored.
    ///
    /// - Parameters:
    ///   - sent: the value, read as `fieldType`.
    ///   - raw: the same as text.
    ///   - stored: the column.
    func isSame(sent: String, raw: String, stored: String) -> String {
        switch form {
        case .text: Self.areSame("\(sent) COLLATE \"C\"", "\(stored)::text COLLATE \"C\"")
        case .padded:
            Self.areSame(
                "\(sent) COLLATE \"C\"",
                "CASE WHEN \(stored) IS NOT NULL THEN concat(\(stored)) COLLATE \"C\" END")
        case .number: isSameNumber(sent, stored, "\(stored)::text::numeric")
        case .money: isSameNumber(sent, stored, "\(stored)::numeric")
        case .time(let time): isSameTime(sent, stored, time)
        case .unknown:
            "("
                + Self.areSame(
                    "nullif(\(sent)::jsonb, 'null')", "nullif(to_jsonb(\(stored)), 'null')")
                + " OR " + Self.areSame(raw, "\(stored)::text COLLATE \"C\"") + ")"
        case .array where Self.timeArrays.contains(column.baseType):
            "(\(Self.areSame("to_jsonb(\(sent))", "to_jsonb(\(stored))"))"
                + " AND \(Self.lacks(Time.other.loss, raw)))"
        case .array: Self.areSame("to_jsonb(\(sent))", "to_jsonb(\(stored))")
        case .typed(let form):
            Self.areSame(form.expression(converted(sent)), form.expression(stored))
        }
    }

    /// A condition, never NULL, that no text fails in: what was sent is the text that JSON has of
    /// the stored value or, of numbers, another one of the same value.
    ///
    /// - Parameters:
    ///   - raw: what was sent, as text.
    ///   - stored: the column.
    ///   - rendered: the column as payloads have it.
    func isSameText(raw: String, stored: String, rendered: String) -> String {
        let isSame = Self.areSame(raw, "to_json(\(rendered)) #>> '{}'")
        guard case .number = form else { return isSame }
        return "(\(isSame) OR CASE WHEN \(raw) ~ '\(Self.shortNumber)' THEN "
            + Self.areSame("\(raw)::numeric", "\(stored)::text::numeric") + " ELSE false END)"
    }

    private func isSameNumber(_ sent: String, _ stored: String, _ number: String) -> String {
        "CASE WHEN \(sent) ~ '\(Self.plainNumber)' THEN "
            + Self.areSame("\(sent)::numeric", number) + " ELSE "
            + Self.areSame("\(sent)::\(column.plainType.name)", stored) + " END"
    }

    private func isSameTime(_ sent: String, _ stored: String, _ time: Time) -> String {
        let value =
            switch time {
            case .instant: converted(sent)
            default: "\(sent)::\(column.plainType.name)"
            }
        let form = ComparableForm(column)
        return
            "(\(Self.areSame(form.expression(value), form.expression(stored)))"
            + " AND \(Self.lacks(time.loss, sent)))"
    }

    private func converted(_ sent: String) -> String { WireConversion(column).expression(sent) }

    private static func lacks(_ expression: String, _ text: String) -> String {
        "coalesce(\(text) !~* \(literal(expression)), true)"
    }

    private static func areSame(_ one: String, _ other: String) -> String {
        "((\(one)) IS NOT DISTINCT FROM (\(other)))"
    }
}
