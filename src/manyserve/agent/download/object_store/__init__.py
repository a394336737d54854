"""Downloads from object stores: Google Cloud Storage, S3 and Azure's blob storage."""
