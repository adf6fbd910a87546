// The Upload service's process. Everything it does is in the library beside it.
import UploadService

try await UploadService.run()
