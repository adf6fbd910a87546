import WireJSON

extension JSONReader {
    /// Reads a number of the protocol within its bounds.
    ///
    /// - Parameter field: its name, for the error.
    mutating func readNumber(
        _ field: StaticString, in range: ClosedRange<Int64> = ProtocolNumber.range
    ) throws(JSONError) -> Int64 {
        let start = position
        let number = try readInt64()
        guard range.contains(number) else {
            throw JSONError(
                "\(field) is \(number): it must be between \(range.lowerBound) and "
                    + "\(range.upperBound)", at: start)
        }
        return number
    }

    /// Reads the id that a device has given its change; 0 for one beyond the bounds, which older
    /// servers took from any device. It names no change of this one, and must not keep the log's
    /// other changes from being read.
    mutating func readChangeID() throws(JSONError) -> Int64 {
        let number = try readInt64()
        return ProtocolNumber.range.contains(number) ? number : 0
    }
}
