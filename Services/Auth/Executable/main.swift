// The Auth service's process. Everything it does is in the library beside it.
import AuthService

try await AuthService.run()
