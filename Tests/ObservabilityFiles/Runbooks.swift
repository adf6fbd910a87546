import Foundation

/// A page of `Docs/runbooks`.
package struct Runbook: Sendable {
    /// The file's name.
    package let name: String
    package let text: String

    package static func all() throws -> [Runbook] {
        let folder = ObservabilityFiles.root.appending(path: RuleFile.runbooks)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".md") }.sorted().map {
                Runbook(name: $0, text: try ObservabilityFiles.text(of: RuleFile.runbooks + $0))
            }
    }

    /// The alerts that lead here, as the page says.
    package var alerts: [String] {
        guard let line = text.firstMatch(of: /(?m)^\*\*Alerts\.\*\* (.*)$/) else { return [] }
        return line.output.1.matches(of: /`([A-Za-z]+)`/).map { String($0.output.1) }
    }

    /// The commands of its blocks of shell, each as its words.
    package var commands: [[String]] {
        text.matches(of: /(?s)```sh\n(.*?)```/).flatMap { ShellText.commands(in: $0.output.1) }
    }
}

/// As much of a shell's grammar as runbooks use.
package enum ShellText {
    /// The simple commands of a text; pipes, lists and redirections part them.
    package static func commands(in text: some StringProtocol) -> [[String]] {
        var commands: [[String]] = []
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isRedirected = false
        func endWord() {
            if let word, !isRedirected { words.append(word) }
            if word != nil { isRedirected = false }
            word = nil
        }
        func endCommand() {
            endWord()
            if !words.isEmpty { commands.append(words) }
            words = []
        }
        var characters = String(text).replacing("\\\n", with: " ").makeIterator()
        while let character = characters.next() {
            if let open = quote {
                if character == open {
                    quote = nil
                } else if character == "\\", open == "\"", let next = characters.next() {
                    word?.append(next)
                } else {
                    word?.append(character)
                }
                continue
            }
            switch character {
            case "'", "\"":
                quote = character
                word = word ?? ""
            case "\n", ";", "|", "&": endCommand()
            case " ", "\t": endWord()
            case ">", "<":
                endWord()
                isRedirected = true
            case "#" where word == nil:
                while let next = characters.next(), next != "\n" {}
                endCommand()
            case "\\": if let next = characters.next() { word = (word ?? "") + String(next) }
            default: word = (word ?? "") + String(character)
            }
        }
        endCommand()
        return commands
    }
}
