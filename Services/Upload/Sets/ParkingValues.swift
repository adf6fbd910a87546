import Model
import Postgres
import Sidecar

/// SQL of values that can stand in for a column's, by its type. They are made of a row's key
/// `k.key`, so that probably no other row gets the same.
enum ParkingValues {
    static let (float4, numeric) = (700 as UInt32, 1700 as UInt32)
    private static let (date, timestamp) = (1082 as UInt32, 1114 as UInt32)
    private static let (time, timetz, interval): (UInt32, UInt32, UInt32) = (1083, 1266, 1186)
    private static let (money, oid, lsn): (UInt32, UInt32, UInt32) = (790, 26, 3220)
    private static let (inet, cidr): (UInt32, UInt32) = (869, 650)
    private static let (macaddr, macaddr8): (UInt32, UInt32) = (829, 774)
    private static let (bit, varbit): (UInt32, UInt32) = (1560, 1562)

    private static let digest = "md5('oversync ' || k.key::text)"
    private static let hash = "hashtext(k.key::text)"
    private static let middle = "(\(hash) & 1073741823)"
    private static let large = "(hashtextextended(k.key::text, 0) & 4611686018427387903)"

    /// - Returns: PostgreSQL decides which of them the column takes: others are not used.
    static func of(_ column: Column) -> [String] {
        if column.plainType.isEnum { return [] }
        let known = numbers(column.baseType) ?? times(column.baseType) ?? bits(column)
        if let known { return known }
        return switch column.baseType {
        case PostgresType.bool.rawValue: ["false", "true"]
        case PostgresType.uuid.rawValue: ["\(digest)::uuid"]
        case PostgresType.bytea.rawValue: ["decode(\(digest), 'hex')"]
        case PostgresType.jsonb.rawValue: ["to_jsonb(\(digest))"]
        case inet, cidr: addresses(column)
        case macaddr: ["left(\(digest), 12)::macaddr"]
        case macaddr8: ["left(\(digest), 16)::macaddr8"]
        case lsn: ["('FFFFFFFF/' || left(\(digest), 8))::pg_lsn"]
        default: texts(column)
        }
    }

    /// SQL of a distance that takes a value of this type away from all that people write; nil for
    /// types without distances.
    static func farAway(_ column: Column) -> String? {
        switch column.baseType {
        case PostgresType.int2.rawValue: "16384::int2"
        case PostgresType.int4.rawValue: "1073741824"
        case PostgresType.int8.rawValue: "4611686018427387904"
        case float4, PostgresType.float8.rawValue, numeric: "1073741824"
        case PostgresType.timestamptz.rawValue, timestamp: "interval '2000 years'"
        case date: "730485"
        default: nil
        }
    }

    /// SQL of a small distance between two values of this type; nil for types without distances.
    static func step(_ column: Column) -> String? {
        switch column.baseType {
        case PostgresType.timestamptz.rawValue, timestamp: "interval '1 day'"
        default: farAway(column) == nil ? nil : "1"
        }
    }

    private static func numbers(_ type: UInt32) -> [String]? {
        switch type {
        case PostgresType.int2.rawValue:
            ["-16384 - (\(hash) & 16383)", "16383 + (\(hash) & 16383)"]
        case PostgresType.int4.rawValue: ["-1073741824 - \(middle)", "1073741824 + \(middle)"]
        case PostgresType.int8.rawValue:
            ["-4611686018427387904 - \(large)", "4611686018427387904 + \(large)"]
        case float4, PostgresType.float8.rawValue, numeric:
            ["-1073741824 - \(middle)", "1073741824 + \(middle)"]
        case money: ["(-1073741824 - \(middle))::money", "(1073741823 + \(middle))::money"]
        case oid: ["(2147483648 + \(middle)::bigint)::oid"]
        default: nil
        }
    }

    private static func times(_ type: UInt32) -> [String]? {
        let seconds = "(\(middle) * interval '1 second')"
        // Within a day: of microseconds, and for columns without them of seconds.
        let clocks = ["microsecond", "second"].map {
            "(time '00:00' + (\(hash) & 65535) * interval '1 \($0)')"
        }
        return switch type {
        case PostgresType.timestamptz.rawValue, timestamp:
            ["timestamp '9999-01-01' - \(seconds)", "timestamp '0001-01-01' + \(seconds)"]
        case date:
            ["date '9999-01-01' - (\(hash) & 65535)", "date '0001-01-01' + (\(hash) & 65535)"]
        case time: clocks
        case timetz: clocks.map { "\($0)::timetz" }
        case interval:
            [
                "interval '5000 years' + \(seconds)", "interval '-5000 years' - \(seconds)",
            ] + clocks.map { "\($0)::interval" }
        default: nil
        }
    }

    /// As many of the hash's bits as the type has.
    private static func bits(_ column: Column) -> [String]? {
        switch column.baseType {
        case bit: ["(\(hash)::bit(32))::\(column.typeName)"]
        case varbit: ["\(hash)::bit(32)::varbit"]
        default: nil
        }
    }

    /// Of the addresses that nobody is given on the internet.
    private static func addresses(_ column: Column) -> [String] {
        ["('fd00::'::inet + \(large))", "('10.0.0.0'::inet + (\(hash) & 16777215))"].map {
            "\($0)::\(column.plainType.name)"
        }
    }

    /// What is read from a text: arrays of several types, and types that are not PostgreSQL's own.
    private static func texts(_ column: Column) -> [String] {
        if column.plainType.isArray {
            return ["\(digest)", "(-1073741824 - \(middle))::text"].map {
                "('{' || \($0) || '}')::\(column.plainType.name)"
            }
        }
        if column.plainType.isHstore {
            return ["('oversync=>' || \(digest))::\(column.plainType.name)"]
        }
        return ["\(digest)::\(column.plainType.name)"]
    }
}
