import Foundation

/// A name and its text, as OpenTelemetry's variables list them: `name=text,name=text`, with what
/// has a meaning in such a list written as `%2C`.
package struct NamedText: Hashable, Sendable {
    package let name: String
    package let text: String

    /// Most members of one list.
    private static let maximumMembers = 64

    /// - Throws: a problem that quotes nothing of the list, which may be secret.
    static func list(
        in text: String, isName: (String) -> Bool
    ) throws(SettingProblem) -> [NamedText] {
        var members: [NamedText] = []
        for (place, member) in text.split(separator: ",").enumerated() {
            let parts = member.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces).removingPercentEncoding }
            guard parts.count == 2, let name = parts[0], let value = parts[1], isName(name),
                value.unicodeScalars.allSatisfy({ !isControl($0) })
            else { throw SettingProblem("must be name=value,…; member \(place + 1) is not") }
            guard !members.contains(where: { $0.name == name }) else {
                throw SettingProblem("names member \(place + 1) twice")
            }
            members.append(NamedText(name: name, text: value))
        }
        guard members.count <= maximumMembers else {
            throw SettingProblem("must have at most \(maximumMembers) members")
        }
        return members
    }

    /// A name that a header field may have.
    static func isFieldName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || scalar.value == 0x7F
    }
}
