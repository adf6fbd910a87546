import Model
import Postgres

extension KeyKind {
    /// The type in which statements on business tables take a key. An integer key comes as `int8`
    /// whatever its column's type is: PostgreSQL compares them by the column's index, and the key
    /// was found to fit when the change was judged.
    var type: PostgresType {
        switch self {
        case .uuid: .uuid
        case .text: .text
        case .integer: .int8
        }
    }

    /// An array of these.
    var arrayType: PostgresType {
        switch self {
        case .uuid: .uuidArray
        case .text: .textArray
        case .integer: .int8Array
        }
    }

    /// The type as SQL names it.
    var typeName: String {
        switch self {
        case .uuid: "uuid"
        case .text: "text"
        case .integer: "int8"
        }
    }
}

extension ArrayBinding {
    /// Appends a key as its ``KeyKind/type`` has it.
    mutating func append(key: RowKey) {
        switch key {
        case .uuid, .text: key.withStoredBytes { append(bytes: $0) }
        case .integer(let number): append(number)
        }
    }
}

extension Bindings {
    /// Binds a key as its ``KeyKind/type`` has it.
    mutating func bind(key: RowKey) {
        switch key {
        case .uuid, .text: key.withStoredBytes { bind(bytes: $0) }
        case .integer(let number): bind(number)
        }
    }
}
