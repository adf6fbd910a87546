// The Auth service's process. Everything it does is in the library beside it.
import AuthService

await AuthService.run()
