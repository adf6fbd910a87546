// The gateway's process. Everything it does is in the library beside it.
import Gateway

await GatewayService.run()
