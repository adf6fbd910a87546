import Testing

/// `Shared/RPC/Call/Methods.swift`, compared with the services of `Shared/Protos/Definitions`:
/// protoc-gen-swift leaves `service` blocks out.
struct MethodsTests {
    @Test("Every rpc of the definitions is a method with its name and messages, and no other is")
    func methods() throws {
        var defined: Set<String> = []
        for (_, text) in try Repository.texts(
            ofKinds: ["proto"], in: ["Shared/Protos/Definitions"])
        {
            guard let package = text.firstMatch(of: /(?m)^package ([a-z0-9.]+);/) else { continue }
            let methods = text.matches(
                of: /(?m)^  rpc (\w+)\((\w+)\) returns \((?:stream )?(\w+)\);/)
            for method in methods {
                let (name, request, reply) = (
                    method.output.1, method.output.2, method.output.3
                )
                defined.insert("\(package.output.1).\(name) \(request) \(reply)")
            }
        }
        let source = try Repository.text(of: "Shared/RPC/Call/Methods.swift")
        let methods = source.matches(of: /RPCMethod<(\w+), (\w+)>\(\s*"([\w.]+)"\)/).map {
            "\($0.output.3) \($0.output.1) \($0.output.2)"
        }
        #expect(defined.count > 10)
        // Settings name methods. Each service has a list of them.
        for method in source.matches(of: /static let (\w+) = RPCMethod</) {
            let name = "\(method.output.1).name"
            #expect(source.contains(name + ",") || source.contains(name + "]"), "\(name)")
        }
        #expect(Set(methods) == defined && methods.count == defined.count)
    }
}
