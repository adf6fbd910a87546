// The Download service's process. Everything it does is in its library.
import DownloadService

await DownloadService.run()
