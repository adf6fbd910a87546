// The Upload service's process. Everything it does is in the library beside it.
import UploadService

await UploadService.run()
