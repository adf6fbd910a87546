import Foundation

/// A file that holds the value of a setting.
package enum SettingFile {
    /// Largest such file, in bytes. A certificate chain is a few kilobytes.
    package static let maximumBytes = 1 << 20

    /// The file's text without white space at both ends.
    ///
    /// - Throws: a problem in words that follow the name of the variable that names the file.
    package static func text(of path: String) throws(SettingProblem) -> String {
        guard let text = String(validating: try bytes(of: path), as: UTF8.self) else {
            throw SettingProblem("names \(path), which is not UTF-8 text")
        }
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else { throw SettingProblem("names \(path), which is empty") }
        return trimmed
    }

    /// The file's content.
    ///
    /// - Throws: a problem in words that follow the name of the variable that names the file.
    package static func bytes(of path: String) throws(SettingProblem) -> [UInt8] {
        // A pipe without a writer must not hold up the start.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { throw unreadable(path, errno) }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw SettingProblem("names \(path), which is not a regular file")
        }
        guard info.st_size <= maximumBytes else {
            throw SettingProblem("names \(path), which is larger than \(maximumBytes) bytes")
        }
        return try content(of: descriptor, path)
    }

    private static func content(
        of descriptor: Int32, _ path: String
    ) throws(SettingProblem) -> [UInt8] {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(path, errno) }
            if count == 0 { return content }
            content.append(contentsOf: chunk[..<count])
            guard content.count <= maximumBytes else {
                throw SettingProblem("names \(path), which is larger than \(maximumBytes) bytes")
            }
        }
    }

    private static func unreadable(_ path: String, _ code: Int32) -> SettingProblem {
        SettingProblem("names \(path), which cannot be read: \(String(cString: strerror(code)))")
    }
}

/// What tells one state of a file from another, however the file is replaced: written in place, renamed over, or
/// reached through a symbolic link that now leads elsewhere.
package struct FileStamp: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let modifiedNanoseconds: Int64
    private let changedNanoseconds: Int64

    /// Nil when there is no such file.
    package init?(of path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        device = UInt64(info.st_dev)
        inode = UInt64(info.st_ino)
        size = Int64(info.st_size)
        modifiedNanoseconds = Self.nanoseconds(info.st_mtim)
        changedNanoseconds = Self.nanoseconds(info.st_ctim)
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}
