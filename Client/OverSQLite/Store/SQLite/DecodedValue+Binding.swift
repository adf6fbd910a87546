extension DecodedValue {
    /// Binds the value. Text in `bytes` is not copied, so `bytes` must stay valid until the
    /// statement has run.
    func bind(_ statement: RawStatement, at index: Int32, bytes: UnsafeBufferPointer<UInt8>) {
        switch self {
        case .null: statement.bindNull(at: index)
        case .integer(let number): statement.bind(integer: number, at: index)
        case .real(let number): statement.bind(real: number, at: index)
        case .slice(let range):
            statement.bind(text: UnsafeBufferPointer(rebasing: bytes[range]), at: index)
        case .text(let text): statement.bind(text: text, at: index)
        case .blob(let blob): statement.bind(blob: blob, at: index)
        }
    }
}
