/// A text from data on a line for people and for `grep`: as it is where it is plain, else in quotes and escaped. So a
/// key or name can neither forge a line nor speak to the terminal.
package func printable(_ text: String) -> String {
    if !text.isEmpty, text.unicodeScalars.allSatisfy(isPlain) { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": quoted += "\\\(scalar)"
        case " ": quoted += " "
        case _ where isPlain(scalar): quoted.unicodeScalars.append(scalar)
        default: quoted += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return quoted + "\""
}

/// Neither white space nor a quote, and shown as what it is: no control, format or unassigned character.
private func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .surrogate,
        .privateUse, .unassigned:
        false
    default: scalar != "\"" && scalar != "\\"
    }
}
