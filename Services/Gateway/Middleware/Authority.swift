/// The host and port that a request is for: `Host` of HTTP/1.1, `:authority` of HTTP/2.
///
/// A request that says it in a way that two readers may take for two hosts is refused (RFC 9112
/// §3.2): what stands before the gateway may have chosen by another one.
enum Authority {
    /// Whether it is a name or address, with a port or without: letters, digits, `-`, `.` and `_`,
    /// or an IPv6 address in brackets.
    static func isWellFormed(_ authority: String) -> Bool {
        var text = Substring(authority).utf8
        if text.first == UInt8(ascii: "[") {
            guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return false }
            let address = text[text.index(after: text.startIndex)..<end]
            guard !address.isEmpty, address.allSatisfy(isOfAddress) else { return false }
            text = text[text.index(after: end)...]
            return text.isEmpty || isPort(text)
        }
        let name = text.prefix { $0 != UInt8(ascii: ":") }
        guard !name.isEmpty, name.allSatisfy(isOfName) else { return false }
        text = text[name.endIndex...]
        return text.isEmpty || isPort(text)
    }

    /// `:443`.
    private static func isPort(_ text: Substring.UTF8View) -> Bool {
        guard text.first == UInt8(ascii: ":") else { return false }
        let digits = text.dropFirst()
        guard digits.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else {
            return false
        }
        return digits.isEmpty || UInt16(Substring(digits)) != nil
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isOfAddress(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
