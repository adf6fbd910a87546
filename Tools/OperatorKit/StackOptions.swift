import ArgumentParser

/// Where a command finds the private stack of `oversync-dev dev`.
package struct StackOptions: ParsableArguments {
    @Option(name: .customLong("directory"), help: "Folder of the private stack.")
    package var path = ".oversync"

    package init() {}

    package var directory: StackDirectory { StackDirectory(path) }
}
