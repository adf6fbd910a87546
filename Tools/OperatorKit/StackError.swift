/// Why a command cannot do its work: what is wrong and what to do.
package struct StackError: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
