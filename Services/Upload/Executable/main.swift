// The Upload service's process. Everything it does is in its library.
import UploadService

await UploadService.run()
