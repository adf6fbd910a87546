import Telemetry
import Testing

@Suite("Times as text")
struct TimestampTests {
    @Test(
        "A time has as many places of the second as it was asked for",
        arguments: [
            (0, 0, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z"),
            (1_769_860_800, 123_000, "2026-01-31T12:00:00.123000Z", "2026-01-31T12:00:00.123Z"),
            (951_827_696, 1, "2000-02-29T12:34:56.000001Z", "2000-02-29T12:34:56.000001Z"),
            (-1, 999_999, "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            (253_402_300_799, 500_000, "9999-12-31T23:59:59.500000Z", "9999-12-31T23:59:59.5Z"),
        ])
    func places(_ seconds: Int, _ microseconds: Int, _ whole: String, _ trimmed: String) {
        #expect(
            String(
                decoding: Timestamp.utf8(seconds: seconds, microseconds: microseconds),
                as: UTF8.self) == whole)
        #expect(
            String(
                decoding: Timestamp.utf8(
                    seconds: seconds, microseconds: microseconds, trimsZeros: true), as: UTF8.self)
                == trimmed)
    }

    @Test("Bytes are two digits each")
    func hexadecimals() {
        #expect(hexadecimal([0x00, 0x0F, 0xA0, 0xFF]) == "000fa0ff")
        #expect(hexadecimal([]) == "")
    }
}
