// The Download service's process. Everything it does is in the library beside it.
import DownloadService

await DownloadService.run()
