import Crypto

/// A short, stable stand-in for a user's id in logs: enough to follow one user, not to name them.
package func userHash(_ user: String) -> String {
    SHA256.hash(data: Array(user.utf8)).prefix(6).map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}
