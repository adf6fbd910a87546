// The gateway's process. Everything it does is in its library.
import Gateway

await GatewayService.run()
