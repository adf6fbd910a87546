import Testing

@testable import Postgres

@Suite struct BindingsTests {
    @Test func anEmptyValueIsNotNull() {
        var bindings = Bindings()
        bindings.bind("")
        bindings.bind(nil as String?)
        #expect(bindings.slots.map(\.length) == [0, -1])
        #expect(bindings.slots[0].offset < bindings.storage.count + 1 && bindings.storage.count > 0)
    }

    @Test func anIntegerOfAnotherWidthThanDeclaredIsRefusedBeforeItIsSent() {
        let statement = Statement(name: "s", sql: "SELECT $1", parameters: [.float8])
        var bindings = Bindings()
        bindings.bind(Int64(1))
        #expect(Command(statement, bindings).flaw == "parameter 1 is bound as another type")
        var right = Bindings()
        right.bind(1.5)
        #expect(Command(statement, right).flaw == nil)
    }

    @Test func aWrongNumberOfValuesIsRefused() {
        let statement = Statement(name: "s", sql: "SELECT $1, $2", parameters: [.int8, .int8])
        #expect(Command(statement).flaw == "0 values for 2 parameters")
    }

    @Test func anArrayIsWrittenInTheServersBinaryForm() {
        var array = ArrayBinding(of: .int2)
        array.append(Int16(7))
        array.appendNull()
        var bytes: [UInt8] = []
        array.write(to: &bytes)
        let expected: [UInt8] = [
            0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1,
            0, 0, 0, 2, 0, 7, 255, 255, 255, 255,
        ]
        #expect(bytes == expected)
    }
}
