// The Auth service's process. Everything it does is in its library.
import AuthService

await AuthService.run()
