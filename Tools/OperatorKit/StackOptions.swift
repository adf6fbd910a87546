import ArgumentParser

/// Where a command finds the private stack of `oversync-dev dev`.
package struct StackOptions: ParsableArguments {
    @Option(name: .customLong("directory"), help: "The private stack's folder.")
    package var path = ".oversync"

    package init() {}

    package var directory: StackDirectory { StackDirectory(path) }
}
