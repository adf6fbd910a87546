import Foundation

/// A file that is written when everything has been measured. Whether it can be is asked before.
package enum OutputFile {
    /// Why nothing can be written to a path; nil when it can.
    package static func trouble(_ path: String) -> String? {
        let files = FileManager.default
        var isFolder: ObjCBool = false
        let exists = files.fileExists(atPath: path, isDirectory: &isFolder)
        if isFolder.boolValue { return "\(path) is a folder; name a file" }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard files.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
            return "there is no folder \(folder); make it, or name another file"
        }
        let isWritable = files.isWritableFile(atPath: exists ? path : folder)
        return isWritable ? nil : "\(path) cannot be written"
    }

    /// Writes the whole file, or leaves the former one.
    package static func write(_ data: Data, to path: String) throws {
        try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    }
}
