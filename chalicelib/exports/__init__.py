"""From blocks of bytes to a file in S3: format, compression, upload, manifest. Memory does not grow with the rows."""
