"""From blocks of CSV bytes to a file in S3: compression, upload, manifest. Memory is bounded whatever the number of
rows.
"""
